"""The contract of a spool, and what is special about folders."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.domain.errors import StorageFullError
from patchclip_node.ports.spool import Spool
from tests.support.fakes import MemorySpool
from tests.support.spool_contract import SpoolContract, incoming, packed_file


@pytest.fixture(params=["file", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    return FileSpool(tmp_path / "spool", reserve_bytes=0) if request.param == "file" else MemorySpool(tmp_path)


class TestFolderAndFake(SpoolContract):
    pass


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class TestFileSpool:
    def test_what_an_earlier_version_packed_is_given_as_it_was_written_until_it_is_deleted(
        self, tmp_path: Path
    ) -> None:
        spool = FileSpool(tmp_path / "spool", 0)
        key = packed_file(tmp_path / "spool", bytes(3_000_000) + b"end")

        assert spool.holds(key)
        for _ in range(2):
            with spool.local_path(key) as kept:
                assert kept.read_bytes() == bytes(3_000_000) + b"end"
                assert kept.stat().st_size == 3_000_003
        spool.delete(key)
        assert not spool.holds(key)
        with pytest.raises(FileNotFoundError), spool.local_path(key):
            pass

    def test_a_key_is_our_own_and_the_file_lies_in_its_shard_read_only(self, tmp_path: Path) -> None:
        spool = FileSpool(tmp_path / "spool", 0)

        stored = spool.adopt(incoming(spool, b"x"))

        path = tmp_path / "spool" / "instances" / stored.key[:2] / stored.key
        assert path.read_bytes() == b"x"
        assert path.stat().st_mode & 0o222 == 0
        assert len(stored.key) == 32

    def test_opened_again_it_still_holds_everything(self, tmp_path: Path) -> None:
        stored = FileSpool(tmp_path / "spool", 0).write([b"x"])

        with FileSpool(tmp_path / "spool", 0).local_path(stored.key) as kept:
            assert kept.read_bytes() == b"x"

    @pytest.mark.parametrize("key", ["", "../../etc/passwd", "a" * 31, "A" * 32, "/" + "a" * 31])
    def test_what_is_no_key_reaches_no_file(self, tmp_path: Path, key: str) -> None:
        spool = FileSpool(tmp_path / "spool", 0)

        with pytest.raises(ValueError, match="not a key"):
            spool.delete(key)
        with pytest.raises(ValueError, match="not a key"), spool.local_path(key):
            pass

    def test_bytes_and_names_are_synced_before_a_file_counts_as_durable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = FileSpool(tmp_path / "spool", 0)
        path = incoming(spool, b"x")
        steps: list[str] = []
        fsync, rename = os.fsync, Path.rename

        def noting_fsync(descriptor: int) -> None:
            steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').resolve().name}")
            fsync(descriptor)

        def noting_rename(self: Path, target: Path) -> Path:
            steps.append(f"rename {self.name}")
            return rename(self, target)

        monkeypatch.setattr(os, "fsync", noting_fsync)
        monkeypatch.setattr(Path, "rename", noting_rename)

        stored = spool.adopt(path)

        assert steps == ["rename new", f"sync {stored.key}", f"sync {stored.key[:2]}"]

    def test_the_reserve_is_kept_from_what_is_received_and_left_to_what_the_node_makes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = FileSpool(tmp_path / "spool", reserve_bytes=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10_000, 9_000, 1000))
        path = incoming(spool, b"x")

        assert spool.free_bytes() == 0
        with pytest.raises(StorageFullError, match="min_free_bytes"):
            spool.adopt(path)
        assert path.exists()
        assert spool.write([b"a result"]).size_bytes == 8

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_is_a_full_spool_and_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        spool = FileSpool(tmp_path / "spool", 0)
        path = incoming(spool, b"x")

        def full(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(StorageFullError, match="no room"):
            spool.adopt(path)
        assert path.read_bytes() == b"x"
        path.unlink()
        with pytest.raises(StorageFullError, match="no room"):
            spool.write([b"x"])
        assert stored_files(tmp_path) == []

    def test_a_broken_disk_is_no_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = FileSpool(tmp_path / "spool", 0)

        def broken(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", broken)

        with pytest.raises(OSError, match="Input/output"):
            spool.write([b"x"])
        assert stored_files(tmp_path) == []

    def test_chunks_that_end_in_an_error_leave_nothing_behind(self, tmp_path: Path) -> None:
        spool = FileSpool(tmp_path / "spool", 0)

        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise ValueError("a defect")

        with pytest.raises(ValueError, match="a defect"):
            spool.write(chunks())
        assert stored_files(tmp_path) == []


def stored_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
