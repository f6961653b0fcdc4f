"""Leases of this process are renewed, those of processes that are gone are taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Leases
from patchclip_node.services.lease_owner import LeaseOwner

log = structlog.get_logger(__name__)


class LeaseService:
    """Keeps the leases true.

    owner: those that this process works under. dead_owners: picks, of owner names, those that are certainly gone.
    """

    def __init__(
        self,
        leases: Leases,
        clock: Clock,
        owner: LeaseOwner,
        dead_owners: Callable[[Sequence[str]], Sequence[str]],
        policy: WorkPolicy,
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._owner = owner
        self._dead_owners = dead_owners
        self._policy = policy

    def run_once(self) -> None:
        """Renew the lease of the work at hand, then take back those that ended or whose owner is gone."""
        for current in sorted(self._owner.current()):
            self._leases.renew(current, self._clock.now(), self._policy.lease_s)
        owners = self._leases.owners()
        if not owners:  # mostly: nothing is leased, so nothing has ended
            return
        gone = [*self._dead_owners(owners), *self._owner.left_behind(owners)]
        taken_back = self._leases.expire(self._clock.now(), gone, self._policy.analysis_attempts)
        if taken_back:
            log.warning("leases_taken_back", leases=taken_back, owners_gone=gone)
