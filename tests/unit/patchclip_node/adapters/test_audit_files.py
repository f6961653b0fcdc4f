"""The files of the audit trail: for the node's user alone, one chain over all of them, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from patchclip_node.adapters.audit_files import AuditFiles, trail_files, trail_lines
from patchclip_node.audit import events
from patchclip_node.audit.chain import read_line, verify
from patchclip_node.audit.message import build_message
from patchclip_node.audit.values import AuditSource, RecordedEvent
from patchclip_node.domain.errors import AuditTrailError
from tests.support.fakes import START

LARGE = 10**9


def _recorded(*numbers: int) -> list[RecordedEvent]:
    return [
        RecordedEvent(number, events.logged_in(START, events.person(f"person{number}", "192.0.2.7")))
        for number in numbers
    ]


def _files(folder: Path, largest_bytes: int = LARGE) -> AuditFiles:
    return AuditFiles(folder, largest_bytes, partial(build_message, source=AuditSource("PATCHCLIP", "node")))


def _sequences(folder: Path) -> list[int]:
    return [read_line(text).sequence for _, _, text in trail_lines(trail_files(folder))]


def test_lines_of_several_times_are_one_chain(tmp_path: Path) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1, 2))
    head = _files(tmp_path).append(head, _recorded(3))

    verdict = verify(trail_lines(trail_files(tmp_path)), known=head)

    assert verdict.faults == ()
    assert (verdict.first, verdict.last) == (1, 3)


def test_a_full_file_is_followed_by_another_and_the_chain_goes_on(tmp_path: Path) -> None:
    head = (0, "")
    for number in range(1, 8):
        head = _files(tmp_path, largest_bytes=1500).append(head, _recorded(number))

    names = [path.name for path in trail_files(tmp_path)]
    assert len(names) > 2
    assert names[0] == "audit-000000000001.jsonl"
    assert verify(trail_lines(trail_files(tmp_path))).faults == ()
    assert _sequences(tmp_path) == list(range(1, 8))


def test_the_files_are_their_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        _files(tmp_path / "audit").append((0, ""), _recorded(1))
    finally:
        os.umask(before)

    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "audit").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_what_a_killed_process_wrote_and_did_not_tell_is_not_written_again(tmp_path: Path) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1))
    events_after = _recorded(2, 3, 4)
    _files(tmp_path).append(head, events_after[:2])

    again = _files(tmp_path).append(head, events_after)

    assert _sequences(tmp_path) == [1, 2, 3, 4]
    assert again[0] == 4
    assert verify(trail_lines(trail_files(tmp_path))).faults == ()


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_half_a_line_is_cut_off_and_written_again(tmp_path: Path, cut: int) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1))
    after = _recorded(2)
    _files(tmp_path).append(head, after)
    path = trail_files(tmp_path)[0]
    os.truncate(path, path.stat().st_size - cut)

    _files(tmp_path).append(head, after)

    assert _sequences(tmp_path) == [1, 2]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1))
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:-50])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        _files(tmp_path).append(head, _recorded(2))
    monkeypatch.undo()

    assert _sequences(tmp_path) == [1]
    assert _files(tmp_path).append(head, _recorded(2))[0] == 2


def _change(path: Path) -> None:
    path.write_text(path.read_text().replace("person2", "person9"))


def _cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _forget(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("tamper", [_change, _cut, _forget])
def test_a_trail_that_was_changed_is_not_written_on(tmp_path: Path, tamper: object) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1, 2))
    tamper(trail_files(tmp_path)[0])  # type: ignore[operator]
    if tamper is _change:  # without another digest
        lines = [read_line(text) for _, _, text in trail_lines(trail_files(tmp_path))]
        assert not lines[1].is_whole

    with pytest.raises(AuditTrailError, match="it was changed"):
        _files(tmp_path).append((head[0], "0" * 64) if tamper is _change else head, _recorded(3))


def test_after_it_was_set_aside_the_trail_goes_on_from_what_the_ledger_knows(tmp_path: Path) -> None:
    head = _files(tmp_path).append((0, ""), _recorded(1, 2))
    _cut(trail_files(tmp_path)[0])

    aside = _files(tmp_path).set_aside()
    _files(tmp_path).append(head, _recorded(3))

    assert [path.name for path in trail_files(aside)] == ["audit-000000000001.jsonl"]
    faults = verify(trail_lines([*trail_files(aside), *trail_files(tmp_path)])).faults
    assert [fault.what for fault in faults] == ["before it event 2 was removed or moved"]
