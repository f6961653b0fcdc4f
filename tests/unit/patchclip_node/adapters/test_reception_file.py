from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.domain.reception import FRESH_FOR, Reception
from tests.support.fakes import START

BUSY = Reception(START, port=11112, waiting=300, associations=20, allowed=20, troubles={"no_place_left": 7})


def test_what_the_receiver_wrote_is_read(tmp_path: Path) -> None:
    ReceptionFile(tmp_path).write(BUSY)

    assert ReceptionFile(tmp_path).read() == BUSY
    assert [path.name for path in tmp_path.iterdir()] == ["receiver.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"troubles": 1}', b"\xff"])
def test_a_report_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "receiver.json").write_bytes(content)

    assert ReceptionFile(tmp_path).read() is None


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    ReceptionFile(tmp_path / "absent").write(BUSY)

    assert ReceptionFile(tmp_path / "absent").read() is None


def test_an_old_report_is_not_news() -> None:
    assert BUSY.is_fresh(START + FRESH_FOR - timedelta(seconds=1))
    assert not BUSY.is_fresh(START + FRESH_FOR)


def test_it_says_who_is_connected_and_which_limit_refused() -> None:
    assert BUSY.in_words == (
        "20 of 20 associations, 300 connections that ask for none; since its start: no_place_left 7"
    )
