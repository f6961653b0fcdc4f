"""Events as text in the ledger, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter

from patchclip_node.audit.values import AuditEvent

_EVENT: Final = TypeAdapter(AuditEvent)


def encoded(event: AuditEvent) -> str:
    """Return an event as compact JSON; `decoded` reads it back. What UTF-8 cannot hold becomes a question mark."""
    values = asdict(event) | {"at": event.at.isoformat()}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode(errors="replace").decode()


def decoded(text: str) -> AuditEvent:
    """Read what `encoded` wrote."""
    # pydantic's own reader of JSON keeps the short strings that it read: thousands of UIDs and names.
    return _EVENT.validate_python(json.loads(text))
