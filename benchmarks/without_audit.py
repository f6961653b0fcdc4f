"""The node's commands without its audit trail, which no setting turns off: what is measured against.

python -m benchmarks.without_audit receive --config node.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from patchclip_node.adapters.ledger import auditing
from patchclip_node.audit.values import AuditEvent


def _nothing(connection: Connection, *events: AuditEvent) -> None:
    """Take the place of `auditing.record`, which all that records an event calls."""


@contextmanager
def without_audit() -> Iterator[None]:
    """Let this process record no event for the time of the context.

    The code of the function is replaced and not its name, by which other modules have it already.
    """
    before = auditing.record.__code__
    auditing.record.__code__ = _nothing.__code__
    try:
        yield
    finally:
        auditing.record.__code__ = before


if __name__ == "__main__":
    from patchclip_node.cli import main

    with without_audit():
        main()
