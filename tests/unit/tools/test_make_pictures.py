"""tools/make_pictures.py: what is written down of the pictures, and when."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tools.make_pictures import digest_of, record, recorded, weights_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_nothing_is_written_down_of_pictures_that_nothing_made(folder: Path) -> None:
    assert recorded(folder) == {}


def test_a_picture_stands_with_the_weights_that_it_shows_and_itself(folder: Path) -> None:
    record(folder, ["a.jpg", "b.jpg"], "sha256:one")

    assert recorded(folder) == {
        "a.jpg": ("sha256:one", sha256(b"a.jpg")),
        "b.jpg": ("sha256:one", sha256(b"b.jpg")),
    }


def test_what_was_not_made_again_keeps_what_was_said_of_it(folder: Path) -> None:
    record(folder, ["a.jpg", "b.jpg"], "sha256:one")
    (folder / "a.jpg").write_bytes(b"by other weights")
    (folder / "b.jpg").write_bytes(b"by hand")

    record(folder, ["a.jpg"], "sha256:two")

    assert recorded(folder) == {
        "a.jpg": ("sha256:two", sha256(b"by other weights")),
        "b.jpg": ("sha256:one", sha256(b"b.jpg")),
    }
    assert digest_of(folder / "b.jpg") == sha256(b"by hand")


@pytest.mark.parametrize("made", [["a.jpg"], ["a.jpg", "b.jpg"]])
def test_a_picture_that_is_gone_is_not_named(folder: Path, made: list[str]) -> None:
    record(folder, ["a.jpg", "b.jpg"], "sha256:one")
    (folder / "b.jpg").unlink()

    record(folder, made, "sha256:two")

    assert set(recorded(folder)) == {"a.jpg"}


def test_the_weights_are_those_that_the_results_name(tmp_path: Path) -> None:
    (tmp_path / "findings.json").write_text(json.dumps({"model": {"weights_digest": "sha256:one"}, "images": []}))

    assert weights_of(tmp_path) == "sha256:one"
