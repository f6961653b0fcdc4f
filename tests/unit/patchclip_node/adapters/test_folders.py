"""A folder and what leads to it are synced, whoever made them; the power-loss test shows what that is good for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from patchclip_node.adapters.folders import make_durable_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced, in order; the whole machine is `/`."""
    folders: list[Path] = []

    def fsync(descriptor: int) -> None:
        folders.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "sync", lambda: folders.append(Path("/")))
    return folders


@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_the_entries_of_all_that_was_made_are_synced(tmp_path: Path, synced: list[Path], there: int) -> None:
    chain = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    for folder in chain[:there]:
        folder.mkdir()

    make_durable_folder(chain[-1])

    assert chain[-1].is_dir()
    assert set(synced) == {folder.parent for folder in chain[min(there, 2) :]}


def test_where_a_folder_may_not_be_listed_the_machine_is_synced(
    tmp_path: Path, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)

    make_durable_folder(tmp_path / "a")

    assert synced == [Path("/")]
