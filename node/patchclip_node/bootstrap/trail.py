"""Reading the node's own audit trail: its files, and what has not reached a file yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from patchclip_node.adapters.audit_files import trail_files, trail_lines
from patchclip_node.audit.chain import read_line
from patchclip_node.audit.message import build_message
from patchclip_node.audit.reading import Told, read_message
from patchclip_node.bootstrap.audit import source_of
from patchclip_node.ports.audit import AuditLane, AuditOutbox
from patchclip_node.settings import NodeSettings


def told(
    settings: NodeSettings, outbox: AuditOutbox, on_fault: Callable[[str], None], holding: str = ""
) -> Iterator[Told]:
    """Yield all events, those included that have not reached a file yet, and those in files that were set aside.

    holding: lines without this text are passed over, which is much faster than reading them. on_fault: is told of each
    line that cannot be read, with its file and number.
    """
    pending = outbox.pending(outbox.head(AuditLane.FILE)[0])
    aside = [file for folder in sorted(settings.audit_dir.glob("changed-*")) for file in trail_files(folder)]
    seen: set[str] = set()
    for file, number, text in trail_lines([*aside, *trail_files(settings.audit_dir)]):
        if holding not in text:
            continue
        try:
            line = read_line(text)
            read = read_message(line.message)
        except ValueError as error:
            on_fault(f"{file}, line {number}: {error}")
            continue
        seen.add(line.key)
        yield read
    source = source_of(settings)
    for one in pending:
        if one.event.key not in seen:
            yield read_message(build_message(one.event, source))


__all__ = ["told"]
