"""A lane as the delivering process wires it."""

from __future__ import annotations

from collections.abc import Collection

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.result_sender import Destination, ResultSender
from patchclip_node.ports.spool import Spool
from patchclip_node.services.commit import CommitmentReports, CommitmentRequests
from patchclip_node.services.deliver import DeliveryLane
from patchclip_node.services.pictures import Painter
from tests.support.analysis import FakeDecoder, result_issuer


def lane(
    destination: Destination,
    ledger: SqlLedger,
    spool: Spool,
    sender: ResultSender,
    clock: Clock,
    policy: WorkPolicy,
    names: Collection[str] = (),
) -> DeliveryLane:
    """Return the lane of one destination; `names`: what the ledger knows it by, if not by its own name alone."""
    painter = Painter(ledger.studies, spool, FakeDecoder(), result_issuer())
    reports = CommitmentReports(ledger.commitments, clock, policy)
    requests = CommitmentRequests(ledger.deliveries, reports, sender, clock, policy)
    return DeliveryLane(
        destination,
        names or [destination.name],
        ledger.deliveries,
        spool,
        sender,
        clock,
        policy,
        requests,
        ledger.audit,
        ledger.outages,
        painter,
    )
