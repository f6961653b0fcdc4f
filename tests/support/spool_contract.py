"""The contract of a spool."""

from __future__ import annotations

import hashlib
import os
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patchclip_node.ports.spool import Spool


def incoming(spool: Spool, content: bytes) -> Path:
    path = spool.incoming_dir() / "new"
    path.write_bytes(content)
    return path


def packed_file(spool: Path, content: bytes) -> str:
    """Let a folder hold a file as an earlier version kept pictures; returns its key."""
    key = uuid.uuid4().hex
    (spool / "instances" / key[:2] / key).with_suffix(".packed").write_bytes(zlib.compress(content))
    return key


class SpoolContract:
    """What every spool does; a class of tests derives from it and has a fixture `spool`."""

    def test_an_adopted_file_is_kept_as_it_came(self, spool: Spool) -> None:
        content = os.urandom(300_000)
        path = incoming(spool, content)

        stored = spool.adopt(path)

        assert not path.exists()
        assert (stored.size_bytes, stored.sha256) == (300_000, hashlib.sha256(content).hexdigest())
        with spool.local_path(stored.key) as kept:
            assert kept.read_bytes() == content

    def test_what_is_written_is_kept(self, spool: Spool) -> None:
        stored = spool.write([b"one ", b"two"])

        assert (stored.size_bytes, stored.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
        with spool.local_path(stored.key) as kept:
            assert kept.read_bytes() == b"one two"
        assert list(spool.incoming_dir().iterdir()) == []

    def test_what_is_written_into_reserved_room_stays(self, spool: Spool) -> None:
        with spool.reserved(1_000_000) as room:
            stored = [room.write([b"x" * 600_000]) for _ in range(2)]

        for one in stored:
            with spool.local_path(one.key) as kept:
                assert kept.read_bytes() == b"x" * 600_000
        assert list(spool.incoming_dir().iterdir()) == []

    def test_the_same_bytes_twice_are_two_files(self, spool: Spool) -> None:
        first, second = spool.write([b"same"]), spool.write([b"same"])

        spool.delete(first.key)

        with spool.local_path(second.key) as kept:
            assert kept.read_bytes() == b"same"

    def test_a_deleted_file_is_gone_and_may_be_deleted_again(self, spool: Spool) -> None:
        stored = spool.write([b"x"])

        spool.delete(stored.key)
        spool.delete(stored.key)

        with pytest.raises(FileNotFoundError), spool.local_path(stored.key):
            pass

    def test_only_old_unfinished_files_are_discarded(self, spool: Spool) -> None:
        kept = spool.write([b"finished"])
        now = datetime.now(UTC)
        for name, age in (("old", timedelta(hours=2)), ("young", timedelta(minutes=1))):
            path = spool.incoming_dir() / name
            path.write_bytes(b"unfinished")
            os.utime(path, ((now - age).timestamp(),) * 2)

        assert spool.discard_unfinished(now - timedelta(hours=1)) == 1

        assert [path.name for path in spool.incoming_dir().iterdir()] == ["young"]
        with spool.local_path(kept.key) as path:
            assert path.read_bytes() == b"finished"

    def test_there_is_room(self, spool: Spool) -> None:
        assert spool.free_bytes() > 0

    def test_it_says_what_it_holds(self, spool: Spool) -> None:
        stored = spool.write([b"x"])

        assert spool.holds(stored.key)
        spool.delete(stored.key)
        assert not spool.holds(stored.key)
        assert spool.trouble() == ""

    def test_a_digest_that_was_taken_is_believed(self, spool: Spool) -> None:
        stored = spool.adopt(incoming(spool, b"image"), hashlib.sha256(b"image").hexdigest())

        assert stored.sha256 == hashlib.sha256(b"image").hexdigest()
        with spool.local_path(stored.key) as kept:
            assert kept.read_bytes() == b"image"

    def test_a_file_may_be_lent_twice_at_once(self, spool: Spool) -> None:
        stored = spool.write([b"x" * 1000])

        with spool.local_path(stored.key) as first, spool.local_path(stored.key) as second:
            assert first.read_bytes() == second.read_bytes() == b"x" * 1000

    def test_writers_at_once_do_not_meet(self, spool: Spool) -> None:
        with ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda number: spool.write([b"%d" % number]), range(12)))

        assert len({one.key for one in stored}) == 12
        for number, one in enumerate(stored):
            with spool.local_path(one.key) as kept:
                assert kept.read_bytes() == b"%d" % number

    def test_room_is_taken_by_writers_at_once(self, spool: Spool) -> None:
        with spool.reserved(12_000) as room, ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda number: room.write([b"%02d" % number * 500]), range(12)))

        for number, one in enumerate(stored):
            with spool.local_path(one.key) as kept:
                assert kept.read_bytes() == b"%02d" % number * 500
