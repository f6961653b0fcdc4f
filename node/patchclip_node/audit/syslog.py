"""A message on its way by syslog: the header of RFC 5424 as PS3.15 A.6 wants it, framed as RFC 5425 does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from patchclip_node.audit.values import AuditSource, Outcome

MESSAGE_ID: Final = "DICOM+RFC3881"
APP_NAME: Final = "patchclip-node"

_FACILITY: Final = 10
"""Security/authorization (A.6)."""
_NOTICE: Final = 5
"""Normal but significant (A.6)."""
_WARNING: Final = 4
_BOM: Final = "\ufeff"
_NIL: Final = "-"
_NOT_PRINTED: Final = re.compile(r"[^\x21-\x7e]")
_LARGEST_SEQUENCE: Final = 2_147_483_647
"""RFC 5424 7.3.1."""


def frame(message: str, source: AuditSource, sequence: int, at: datetime, outcome: Outcome) -> bytes:
    """Return a SYSLOG-FRAME: the octets' number, a space, and the message (RFC 5425 4.3).

    sequence: counts the node's events; meta's sequenceId says it (RFC 5424 7.3.1): who gets a message twice sees it.
    """
    severity = _NOTICE if outcome is Outcome.SUCCESS else _WARNING
    host = _NOT_PRINTED.sub("", source.host)[:255] or _NIL
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    number = (sequence - 1) % _LARGEST_SEQUENCE + 1
    process = _NOT_PRINTED.sub("", source.ae_title)[:128] or _NIL
    header = f"<{_FACILITY * 8 + severity}>1 {moment} {host} {APP_NAME} {process} {MESSAGE_ID}"
    encoded = f'{header} [meta sequenceId="{number}"] {_BOM}{message}'.encode()
    return str(len(encoded)).encode() + b" " + encoded
