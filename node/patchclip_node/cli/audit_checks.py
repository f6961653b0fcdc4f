"""What `doctor` says of the audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from patchclip_node.adapters.clock import SystemClock
from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.ports.audit import AuditBacklog
from patchclip_node.services.health import audit_lag


def audit_trail(backlogs: Sequence[AuditBacklog]) -> Iterator[CheckResult]:
    """One line for each lane that is behind."""
    now = SystemClock().now()
    for lag in filter(None, (audit_lag(one, now) for one in backlogs)):
        yield CheckResult("audit trail", Status.WARN, lag.detail, lag.advice)


__all__ = ["audit_trail"]
