"""A process that serves the associations which the receiver hands over: `python -m patchclip_node.bootstrap.helping`.

It has the receiver's wiring and neither listens nor gives out places. It ends when the receiver does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from patchclip_core.memory import settle, starting

with starting():
    from patchclip_node.dicom.spared import import_pydicom

    import_pydicom()  # before anything else does

    import structlog

    from patchclip_core.errors import PatchClipError
    from patchclip_node.bootstrap import logging
    from patchclip_node.bootstrap.audit import recording
    from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
    from patchclip_node.bootstrap.parent import end_with
    from patchclip_node.bootstrap.receiver import spare_what_is_not_used, wire_receiver
    from patchclip_node.bootstrap.telemetry import traced
    from patchclip_node.domain.errors import NodeError
    from patchclip_node.scp.helpers import Front
    from patchclip_node.settings import read_settings

log = structlog.get_logger(__name__)


def main(end: socket.socket, file: Path) -> None:
    """Serve what comes over the line, by the settings of a file and of those that follow it."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # the receiver hears of these, and ends this process when it has ended
    if (die_with_the_receiver := end_with(os.getppid())) is not None:
        die_with_the_receiver()
    settings = read_settings(file)
    logging.configure(settings.log, "receive")
    spare_what_is_not_used()

    def follow(changed: Path) -> None:
        try:
            receiver.follow(read_settings(changed))
        except (NodeError, PatchClipError) as error:  # the receiver took them: what it sees, this process may not
            log.error("configuration_not_applied", file=str(changed), error=str(error))

    front = Front(end, follow)
    ledger = open_ledger(settings)
    try:
        clock = open_clock(ledger)
        with recording(ledger.audit) as audit, traced(settings, ledger, "receive") as tracer:
            receiver = wire_receiver(settings, ledger, open_spool(settings), clock, audit, tracer, front)
            settle()
            receiver.scp.help(front)
    finally:
        ledger.close()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
