"""The limits, times and sizes of the statement, each with the constant or the setting that it is."""

from __future__ import annotations

from dataclasses import dataclass

from patchclip_node.scp.lobby import FIRST_PDU_S, MAX_REQUEST_BYTES, MAX_WAITING
from patchclip_node.scp.messages import MAX_COMMAND_SET_BYTES, MAX_INFORMATION_BYTES
from patchclip_node.scp.storage_scp import ACSE_TIMEOUT_S, NETWORK_TIMEOUT_S
from patchclip_node.scp.upper_layer import MAX_ANNOUNCED_PDU_BYTES, MAX_PDU_BYTES
from patchclip_node.scu import associations
from patchclip_node.scu.archive import MOST_ANSWERS
from patchclip_node.scu.associations import Timeouts
from patchclip_node.scu.confirmation import PAUSE_S, TRIES
from patchclip_node.scu.contexts import MAX_CONTEXTS
from patchclip_node.services.custody import MOST_OWED
from patchclip_node.settings import NodeSettings


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that a peer can meet. of: acceptor or initiator of associations. setting: by which it is changed."""

    key: str
    of: str
    words: str
    value: float
    unit: str
    setting: str = ""


def limits_of(settings: NodeSettings) -> tuple[Limit, ...]:
    """Return them as a node with these settings has them."""
    limits, retry, times = settings.limits, settings.retry, Timeouts()
    acceptor, initiator = "acceptor", "initiator"
    return (
        Limit("max_pdu", acceptor, "Maximum Length that is offered", MAX_PDU_BYTES, "bytes"),
        Limit("longest_pdu", acceptor, "a longer PDU is not read: abort", MAX_ANNOUNCED_PDU_BYTES, "bytes"),
        Limit("longest_request", acceptor, "a longer A-ASSOCIATE-RQ is not read: abort", MAX_REQUEST_BYTES, "bytes"),
        Limit("command_set", acceptor, "a longer command set ends the association", MAX_COMMAND_SET_BYTES, "bytes"),
        Limit(
            "information",
            acceptor,
            "a longer data set of N-ACTION or N-EVENT-REPORT ends the association",
            MAX_INFORMATION_BYTES,
            "bytes",
        ),
        Limit(
            "instance",
            acceptor,
            "a larger instance is refused with 0xA700 while it arrives",
            limits.max_instance_bytes,
            "bytes",
            "limits.max_instance_bytes",
        ),
        Limit("request_time", acceptor, "for the whole A-ASSOCIATE-RQ to arrive", FIRST_PDU_S, "s"),
        Limit("idle_time", acceptor, "that an association may stand idle, and a PDU may take", NETWORK_TIMEOUT_S, "s"),
        Limit("artim", acceptor, "that a connection stays open after its end was said (ARTIM)", ACSE_TIMEOUT_S, "s"),
        Limit("waiting", acceptor, "connections whose request has not come yet", MAX_WAITING, ""),
        Limit(
            "associations",
            acceptor,
            "associations at once",
            limits.max_associations,
            "",
            "limits.max_associations",
        ),
        Limit(
            "associations_per_address",
            acceptor,
            "associations at once of one known caller, and of all others at one address",
            limits.max_associations_per_address,
            "",
            "limits.max_associations_per_address",
        ),
        Limit(
            "associations_kept",
            acceptor,
            "associations kept for known callers",
            limits.associations_kept_for_known,
            "",
            "limits.associations_kept_for_known",
        ),
        *_waiting_studies(limits.max_waiting_studies),
        Limit("owed_reports", acceptor, "requests of one caller for storage commitment that wait", MOST_OWED, ""),
        Limit("outstanding", acceptor, "operations outstanding at once: none is asynchronous", 1, ""),
        Limit("sent_pdu", initiator, "Maximum Length that is offered", associations.MAX_PDU_BYTES, "bytes"),
        Limit("contexts", initiator, "presentation contexts of one association", MAX_CONTEXTS, ""),
        Limit("per_destination", initiator, "associations at once to one destination", 1, ""),
        Limit("connect_time", initiator, "for the connection", times.connect_s, "s"),
        Limit("accept_time", initiator, "for the answer to A-ASSOCIATE-RQ", times.acse_s, "s"),
        Limit("response_time", initiator, "for a response, or for the peer to read", times.response_s, "s"),
        Limit("report_time", initiator, "that an association stays open for N-EVENT-REPORT", times.report_s, "s"),
        Limit("query_tries", initiator, "queries for an object before it counts as not there", TRIES, ""),
        Limit("answers", initiator, "answers to a query of an archive that are read", MOST_ANSWERS, ""),
        Limit("query_pause", initiator, "between two of these queries", PAUSE_S, "s"),
        Limit(
            "backoff",
            initiator,
            "wait after the first failure; doubled after each",
            retry.backoff_s,
            "s",
            "retry.backoff_s",
        ),
        Limit(
            "backoff_max", initiator, "longest wait between two tries", retry.backoff_max_s, "s", "retry.backoff_max_s"
        ),
        Limit(
            "deliver_for",
            initiator,
            "after which a result has failed there",
            retry.deliver_for_s,
            "s",
            "retry.deliver_for_s",
        ),
        Limit(
            "commit_within",
            initiator,
            "after which what is not committed to is sent again",
            retry.commit_within_s,
            "s",
            "retry.commit_within_s",
        ),
    )


def _waiting_studies(most: int | None) -> tuple[Limit, ...]:
    """Return the limit, where there is one."""
    if most is None:
        return ()
    words = "studies that wait for their analysis; then images of new ones are refused with 0xA700"
    return (Limit("waiting_studies", "acceptor", words, most, "", "limits.max_waiting_studies"),)
