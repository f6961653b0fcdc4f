"""docs/how-to/add-a-transfer-syntax.md, followed."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import MappingProxyType

import pytest

from patchclip_node.cli import checks
from patchclip_node.cli.check_result import Status
from patchclip_node.conformance import statement as stated
from patchclip_node.dicom import headers, storage
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.scp import contexts
from patchclip_node.settings import NodeSettings
from tests.support.docs import ROOT, fenced, in_code, page, table
from tools import conformance, make_decoder_streams

PAGE = page("docs/how-to/add-a-transfer-syntax.md")
UID = "1.2.840.10008.1.2.4.92"
ACCEPTED, STREAM = fenced(PAGE, "python")


@pytest.fixture
def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program's streams, which `doctor` reads and the tool writes."""
    folder = tmp_path / "cli" / "streams"
    shutil.copytree(make_decoder_streams.OUT, folder)
    monkeypatch.setattr(make_decoder_streams, "OUT", folder)
    monkeypatch.setattr(checks, "files", lambda _package: folder.parent)
    return folder


def accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do step 1: all who read the table see the new row."""
    names = {"TRANSFER_SYNTAXES": dict(storage.TRANSFER_SYNTAXES)}
    exec(compile(ACCEPTED, "docs/how-to/add-a-transfer-syntax.md", "exec"), names)
    for module in (storage, headers, contexts, stated):
        monkeypatch.setattr(module, "TRANSFER_SYNTAXES", MappingProxyType(names["TRANSFER_SYNTAXES"]))


def give_an_image() -> None:
    """Do step 3, in the module of the tool."""
    exec(compile(STREAM, "docs/how-to/add-a-transfer-syntax.md", "exec"), dict(vars(make_decoder_streams)))


def test_doctor_asks_for_an_image_and_is_content_with_it(streams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = NodeSettings()
    accept(monkeypatch)

    (before,) = checks.decoders(settings)
    give_an_image()
    (after,) = checks.decoders(settings)

    assert before.status is Status.FAIL
    assert "Multi-component" in before.detail
    assert (after.status, after.detail) == (
        Status.OK,
        f"all {len(storage.TRANSFER_SYNTAXES)} transfer syntaxes decode",
    )


def test_the_reader_of_headers_takes_it_from_then_on(streams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_an_image()

    with pytest.raises(UnreadableInstanceError, match="does not read"):
        headers.read_header(streams / f"{UID}.dcm")
    accept(monkeypatch)
    assert headers.read_header(streams / f"{UID}.dcm").transfer_syntax_uid == UID


def test_the_statement_of_conformance_gets_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = page("docs/conformance.md")
    accept(monkeypatch)

    assert f"| `{UID}` |" not in statement
    assert f"| `{UID}` |" in conformance.statement()


def test_the_steps_are_where_the_page_says() -> None:
    assert [row[1] for row in table(PAGE, "step") if not (ROOT / in_code(row[1])[0]).is_file()] == []
