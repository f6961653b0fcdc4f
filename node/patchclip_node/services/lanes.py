"""Each destination has its own lane: a thread that waits for no other destination."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.services.deliver import DeliveryLane
from patchclip_node.services.heartbeat import HeartbeatService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.leases import LeaseService
from patchclip_node.services.outage import again_and_again

LOOK_S: Final = 1.0
"""How often an idle lane looks into the ledger if it is not called."""

LOOK_SOON_S: Final = 0.25
"""How often one looks that has something to try again."""

STOP_GRACE_S: Final = 10.0
"""How long lanes may take to finish what they send when the process is to end."""

log = structlog.get_logger(__name__)


class DeliveryService:
    """Runs all lanes of a process, keeps their leases true, and says that it lives and what is at work.

    A lane in trouble, whichever it is, goes on after a while and stops no other one. Each looks by itself for what is
    due, and at once where it is called.
    """

    def __init__(
        self,
        lanes: Sequence[DeliveryLane],
        owner: LeaseOwner,
        heartbeat: HeartbeatService,
        leases: LeaseService,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        self._lanes = lanes
        self._stop_grace_s = stop_grace_s
        self._owner = owner
        self._heartbeat = heartbeat
        self._leases = leases
        self._called = [threading.Event() for _ in lanes]

    def call(self) -> None:
        """Make each idle lane look now; for any thread."""
        for called in self._called:
            called.set()

    def run(self, stop: threading.Event, sweep_s: float) -> None:
        """Deliver until `stop`; what is being sent then may take `stop_grace_s`, or is sent again at the next start."""
        threads = [
            threading.Thread(
                target=self._run_lane, args=(lane, called, stop), name=f"lane-{lane.destination.name}", daemon=True
            )
            for lane, called in zip(self._lanes, self._called, strict=True)
        ]
        for thread in threads:
            thread.start()
        again_and_again(self._sweep, stop, sweep_s, "sweep")
        self.call()
        end = time.monotonic() + self._stop_grace_s
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
        try:
            self._heartbeat.take_leave()
        except LedgerUnavailableError as error:
            log.warning("leave_not_taken", error=str(error))

    def _sweep(self) -> None:
        self._heartbeat.run_once()
        self._leases.run_once()

    def _run_lane(self, lane: DeliveryLane, called: threading.Event, stop: threading.Event) -> None:
        def rest() -> None:
            called.wait(LOOK_SOON_S if lane.tries_again else LOOK_S)
            called.clear()  # before it looks: what comes from now on calls again

        again_and_again(lambda: self._work_off(lane, stop), stop, LOOK_S, "lane", rest)

    def _work_off(self, lane: DeliveryLane, stop: threading.Event) -> None:
        was_due = True
        while was_due and not stop.is_set():
            with self._owner.at_work() as name:
                was_due = lane.run_one(name)
