from __future__ import annotations

import errno
import hashlib
import os
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.scp.incoming import IncomingDataSet
from tests.support.scp import room


def test_the_fragments_lie_in_one_file_behind_the_header(tmp_path: Path) -> None:
    data_set = IncomingDataSet(room(tmp_path), 100, b"HEADER")

    data_set.write(b"ab")
    data_set.write(b"c")
    path = data_set.complete()

    assert path is not None
    assert path.read_bytes() == b"HEADERabc"
    assert path.parent == tmp_path


@pytest.mark.parametrize(
    "fragments", [(3, 70_000, 5, 65_536, 1), (16_384,) * 20, (100, 200_000), (65_536, 64_000, 2_000)]
)
def test_short_and_long_fragments_come_in_their_order(tmp_path: Path, fragments: tuple[int, ...]) -> None:
    data_set = IncomingDataSet(room(tmp_path), 1024**2, b"HEADER")
    sent = [bytes([number]) * size for number, size in enumerate(fragments)]

    for fragment in sent:
        data_set.write(bytearray(fragment))
    path = data_set.complete()

    assert path is not None
    whole = b"HEADER" + b"".join(sent)
    assert path.read_bytes() == whole
    assert data_set.sha256 == hashlib.sha256(whole).hexdigest()


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot be told to begin to write")
@pytest.mark.parametrize("fragment_bytes", [1_000, 65_536, 131_060, 5_000_000])
def test_a_long_data_set_goes_to_the_disk_while_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fragment_bytes: int
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _file, first, size, _advice: asked.append((first, size)))
    data_set = IncomingDataSet(room(tmp_path), 20 * 1024**2, b"HEADER")

    for _ in range(10_000_000 // fragment_bytes):
        data_set.write(bytes(fragment_bytes))
    path = data_set.complete()

    assert path is not None
    assert [first for first, _ in asked] == [0, *accumulate(size for _, size in asked)][:-1]
    assert path.stat().st_size - sum(size for _, size in asked) < 2 * 1024**2


def test_an_adopted_file_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set = IncomingDataSet(room(tmp_path), 100, b"")
    data_set.write(b"abc")
    path = data_set.complete()
    assert path is not None
    monkeypatch.setattr(Path, "unlink", None)

    data_set.adopted()
    data_set.discard()

    assert data_set.is_gone
    assert path.read_bytes() == b"abc"


def test_one_byte_too_many_deletes_the_file_at_once_and_the_rest_is_dropped(tmp_path: Path) -> None:
    data_set = IncomingDataSet(room(tmp_path), 3, b"HEADER")

    data_set.write(b"abc")
    kept = list(tmp_path.iterdir())
    data_set.write(b"d")

    assert len(kept) == 1
    assert list(tmp_path.iterdir()) == []
    assert data_set.write(b"e" * 1000) == 1000
    assert data_set.complete() is None
    assert data_set.failure == "larger than this node takes (3 bytes)"


def test_a_full_disk_is_a_failure_and_not_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("patchclip_node.scp.incoming.tempfile.mkstemp", no_room)
    data_set = IncomingDataSet(room(tmp_path), 100, b"")

    assert data_set.write(b"abc") == 3
    assert data_set.complete() is None
    assert data_set.failure == "cannot store: No space left on device"


def test_a_discarded_data_set_leaves_nothing_and_takes_nothing_more(tmp_path: Path) -> None:
    data_set = IncomingDataSet(room(tmp_path), 100, b"")
    data_set.write(b"abc")

    data_set.discard()
    data_set.write(b"def")

    assert list(tmp_path.iterdir()) == []


def test_discarding_an_adopted_file_does_not_touch_it(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    data_set = IncomingDataSet(room(incoming), 100, b"")
    data_set.write(b"abc")
    path = data_set.complete()
    assert path is not None
    adopted = path.rename(tmp_path / "adopted")

    data_set.discard()

    assert adopted.read_bytes() == b"abc"


def test_whoever_misses_the_file_of_a_discarded_one_is_told_that_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set = IncomingDataSet(room(tmp_path), 100, b"")
    data_set.write(b"12345")
    data_set.complete()
    unlink, gone = Path.unlink, list[bool]()

    def then_look(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        gone.append(data_set.is_gone)

    monkeypatch.setattr(Path, "unlink", then_look)
    data_set.discard()

    assert gone == [True]
