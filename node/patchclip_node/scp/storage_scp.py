"""The storage SCP: what it negotiates, and how it answers C-ECHO and C-STORE."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from patchclip_node.dicom import statuses
from patchclip_node.domain.errors import RejectedError, RetryableError
from patchclip_node.domain.reception import Reception
from patchclip_node.domain.records import Arrival
from patchclip_node.domain.traces import Arriving, Span, arriving
from patchclip_node.ports.tracer import NO_TRACER, Tracer
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.commitment import CommitmentDesk
from patchclip_node.scp.contexts import supported_contexts
from patchclip_node.scp.failures import failure_of
from patchclip_node.scp.helpers import Front, Helpers
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.messages import StoreRequest
from patchclip_node.scp.places import Caller, KnownCallers, PlacePolicy, Places
from patchclip_node.scp.security import EVERYBODY, AllowedNetworks, CallerSecurity
from patchclip_node.scp.server import Associations, Handler, ReceivingServer
from patchclip_node.scp.syntaxes import prefer_what_the_peer_holds
from patchclip_node.scp.troubles import RationedLog, Troubles
from patchclip_node.scp.upper_layer import MAX_PDU_BYTES, ReceivingAssociation
from patchclip_node.scp.witness import REJECTED, Witness

ACSE_TIMEOUT_S: Final = 5.0
"""How long a connection stays open after its end was said (the ARTIM timer, PS3.8 9.1.5); see `FIRST_PDU_S`, too."""
NETWORK_TIMEOUT_S: Final = 60.0
"""How long an association may stand idle, and one PDU may take to arrive."""

_MORE_THAN_PLACES: Final = 1_000_000
"""pynetdicom counts associations of all servers in the process, and after it has made them; `Places` counts before."""

_SYNTAXES_NOT_SUPPORTED: Final = 0x04
"""PS3.8 table 9-18, result of a presentation context: transfer-syntaxes-not-supported (provider rejection)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the SCP listens, and as whom; port 0 takes a free one."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may send, and how much.

    calling_ae_titles: who may associate; empty: everybody. accept_any_called_ae_title: False rejects associations that
    call another AE title than the endpoint's. places: how many associations at once. max_instance_bytes: a larger
    instance is refused while it arrives. networks: who is listened to. security: TLS; None: plain DICOM.
    """

    calling_ae_titles: tuple[str, ...]
    accept_any_called_ae_title: bool
    places: PlacePolicy
    max_instance_bytes: int
    networks: AllowedNetworks = EVERYBODY
    security: CallerSecurity | None = None


class InstanceReceiver(Protocol):
    """Makes a received instance durable: `services.receive.ReceiveService`."""

    def receive(
        self,
        path: Path,
        *,
        sha256: str,
        calling_ae_title: str,
        called_ae_title: str,
        peer_address: str,
        expected_sop_class_uid: str,
        expected_sop_instance_uid: str,
    ) -> Arrival:
        """Keep the file, whose bytes have the digest `sha256`.

        Raises `RetryableError` and `RejectedError`; the file may then still be there.
        """
        ...


class StorageScp:
    """Listens for associations and hands each received instance over. `stop` or the end of a `with` block ends it."""

    def __init__(
        self,
        receiver: InstanceReceiver,
        room: IncomingRoom,
        endpoint: Endpoint,
        admission: Admission,
        known: KnownCallers | None = None,
        desk: CommitmentDesk | None = None,
        witness: Witness | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        """`room` lies on the spool's file system; places are kept for who is `known`, None: for who sends meanwhile.

        desk: takes and answers storage commitment; None: it is not offered. witness: tells the audit trail.
        tracer: takes a span of each association over which something was kept.
        """
        self._witness = witness
        self._tracer = tracer
        self._desk = desk
        self._receiver = receiver
        self._room = room
        self._known = KnownCallers() if known is None else known
        self._places = Places(admission.places, self._known)
        self._troubles = Troubles(alarm=witness.alarm if witness else None)
        self._log = RationedLog(self._known)
        self._admission = admission
        self._address = (endpoint.host, endpoint.port)
        self.helpers = Helpers(self._places, self._known)
        """Other processes that serve associations which this one lets in; none, before some join."""
        self._server: ReceivingServer | None = None
        self._thread: threading.Thread | None = None
        self._ae = AE(endpoint.ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._ae.maximum_associations = _MORE_THAN_PLACES
        self._ae.maximum_pdu_size = MAX_PDU_BYTES
        self._require_titles(admission)
        self._ae.acse_timeout = ACSE_TIMEOUT_S
        self._ae.network_timeout = NETWORK_TIMEOUT_S
        for one in supported_contexts(commitment=desk is not None):  # set as a list they would lose their roles
            self._ae.add_supported_context(
                str(one.abstract_syntax), list(one.transfer_syntax), one.scu_role, one.scp_role
            )

    def follow(self, admission: Admission, listed: Iterable[Caller]) -> None:
        """Admit by other rules from now on; an association that is open goes on under those that it was admitted by.

        listed: callers that places are kept for. How large an instance may be does not change.
        """
        self._known.follow(listed)
        self._places.follow(admission.places)
        self._require_titles(admission)
        self._admission = admission
        if self._server is not None:
            self._server.follow(admission.networks, admission.security)

    def _require_titles(self, admission: Admission) -> None:
        self._ae.require_calling_aet = list(admission.calling_ae_titles)
        self._ae.require_called_aet = not admission.accept_any_called_ae_title

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._address[1] if self._server is None else int(self._server.server_address[1])

    @property
    def connections(self) -> int:
        """How many connections there are, associations or not yet."""
        return 0 if self._server is None else len(self._server.associations.active) + self._server.lobby.waiting

    def reception(self, now: datetime) -> Reception:
        """Return who is connected, and what was refused since the start."""
        waiting = 0 if self._server is None else self._server.lobby.waiting
        troubles = self.helpers.troubles() + Counter(self._troubles.counts())
        return Reception(now, self.port, waiting, self._places.taken, self._places.total, troubles)

    def start(self) -> None:
        """Listen, in other threads. Raises `OSError` when the address is taken or is not this machine's."""
        admission = self._admission
        server = ReceivingServer(
            self._associations(), self._places, self._known, self.helpers, admission.networks, admission.security
        )
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="scp", daemon=True)
        self._thread.start()
        if self._desk is not None:
            self._desk.start()
        log.info("listening", ae_title=self._ae.ae_title, host=self._address[0], port=self.port)

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no new associations, let those under way end within `grace_s`, then abort them."""
        if self._server is None or self._thread is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        self.helpers.leave()
        server.associations.end(grace_s)
        self._thread.join()
        if self._desk is not None:
            self._desk.stop(grace_s)

    def help(self, front: Front, grace_s: float = 5.0) -> None:
        """Serve what the receiver hands over until it hands over no more; what is under way then has `grace_s`.

        Requests for commitment are written down here; the reports are the receiver's to tell.
        """
        associations = self._associations()
        front.ready()
        while (handed := front.take()) is not None:
            associations.begin(
                handed.connection, handed.address, handed.request, partial(self._tell_end, front, handed.number)
            )
            associations.collect()
        associations.end(grace_s)

    def _tell_end(self, front: Front, number: int) -> None:
        front.ended(number, self._troubles.counts())

    def _associations(self) -> Associations:
        handlers: list[Handler] = [
            (evt.EVT_REQUESTED, prefer_what_the_peer_holds),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_ACCEPTED, self._log_accepted),
            (evt.EVT_REJECTED, self._log_rejected),
            (evt.EVT_ABORTED, self._log_aborted),
            (evt.EVT_CONN_CLOSE, self._ended),
        ]
        if self._desk is not None:
            handlers += [(evt.EVT_N_EVENT_REPORT, self._desk.reported), (evt.EVT_N_ACTION, self._asked_to_commit)]
        return Associations(
            self._ae,
            self._address,
            self._store,
            handlers,
            self._room,
            self._admission.max_instance_bytes,
            self._troubles,
        )

    def __enter__(self) -> StorageScp:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _echo(self, event: evt.Event) -> int:
        """Answer C-ECHO; always Success."""
        log.debug("echo", calling_ae_title=_calling_ae_title(event.assoc))
        return statuses.SUCCESS

    def _asked_to_commit(self, event: evt.Event) -> tuple[Dataset, None]:
        assert self._desk is not None
        return self._desk.asked(event, _caller(event.assoc))

    def _store(self, association: ReceivingAssociation, request: StoreRequest) -> tuple[int, str]:
        """Return what a C-STORE is answered with.

        Success (0000) only after the instance is durable. 0122: of a class of results, of a study that is not here.
        A700: too large, disk full, too many studies waiting, ledger down. A900: another class or instance than
        announced. C000: not readable, or a defect. What the command set refuses never comes here.
        """
        caller, command = _caller(association), request.command
        facts = {"calling_ae_title": caller.ae_title, "sop_instance_uid": command.affected_sop_instance_uid}
        try:
            status, comment = self._keep(association, caller, request)
        except (RetryableError, RejectedError) as error:
            status, comment = failure_of(error)
        except OSError as error:
            if request.data_set.is_gone:
                self._troubles.note("association_ended_before_answer", peer=caller.address)
            else:
                log.exception("cannot_store", **facts)
            status, comment = failure_of(error)
        except Exception as error:  # a boundary: a defect of ours is answered and logged, and the association goes on
            log.exception("receive_defect", **facts)
            status, comment = failure_of(error)
        finally:
            request.data_set.discard()
        if status == statuses.SUCCESS:
            return status, ""
        if self._witness is not None:
            self._witness.refused(association, command.affected_sop_class_uid, comment)
        self._log.warning("instance_refused", caller.address, **facts, status=f"0x{status:04X}", reason=comment)
        return status, comment

    def _keep(self, association: ReceivingAssociation, caller: Caller, request: StoreRequest) -> tuple[int, str]:
        data_set, command = request.data_set, request.command
        path = data_set.complete()
        if data_set.failure is not None:
            return statuses.OUT_OF_RESOURCES, data_set.failure
        if path is None:
            return statuses.CANNOT_UNDERSTAND, "the data set is empty"
        with arriving(Arriving(association.trace, data_set.began_at)):
            arrival = self._receiver.receive(
                path,
                sha256=data_set.sha256,
                calling_ae_title=caller.ae_title,
                called_ae_title=_called_ae_title(association),
                peer_address=caller.address,
                expected_sop_class_uid=command.affected_sop_class_uid,
                expected_sop_instance_uid=command.affected_sop_instance_uid,
            )
        data_set.adopted()
        association.kept += 1
        if self._witness is not None and arrival in {Arrival.DUPLICATE, Arrival.OWN_RESULT}:
            self._witness.held(association, command.affected_sop_class_uid)
        self._known.has_sent(caller)
        return statuses.SUCCESS, ""

    def _log_accepted(self, event: evt.Event) -> None:
        accepted, rejected = event.assoc.accepted_contexts, event.assoc.rejected_contexts
        titles = {"calling_ae_title": _calling_ae_title(event.assoc), "called_ae_title": _called_ae_title(event.assoc)}
        if rejected:
            self._log.line(
                logging.INFO if accepted else logging.WARNING,  # many senders propose all that they know, each time
                "presentation_contexts_refused",
                _peer_address(event.assoc),
                sop_classes=_names(one for one in rejected if one.result != _SYNTAXES_NOT_SUPPORTED),
                sop_classes_in_these_syntaxes=_names(one for one in rejected if one.result == _SYNTAXES_NOT_SUPPORTED),
                **titles,
            )
        self._log.line(
            logging.INFO, "association_accepted", _peer_address(event.assoc), contexts=len(accepted), **titles
        )

    def _log_rejected(self, event: evt.Event) -> None:
        request = event.assoc.requestor.primitive
        calling = "" if request is None else str(request.calling_ae_title).strip()
        titles = {"calling_ae_title": calling, "called_ae_title": _called_ae_title(event.assoc)}
        self._log.warning(REJECTED, _peer_address(event.assoc), **titles)
        if self._witness is not None:
            self._witness.alarm(REJECTED, {"peer": _peer_address(event.assoc), **titles})

    def _ended(self, event: evt.Event) -> None:
        association: Any = event.assoc
        if self._tracer.is_on and association.kept:
            facts = {"patchclip.calling_ae_title": _calling_ae_title(event.assoc), "patchclip.images": association.kept}
            now = datetime.now(UTC)
            self._tracer.tell(Span("association", association.trace, association.began_at, now, attributes=facts))
        if self._witness is not None:
            self._witness.ended(event.assoc, _caller(event.assoc))

    def _log_aborted(self, event: evt.Event) -> None:
        self._log.warning(
            "association_aborted", _peer_address(event.assoc), calling_ae_title=_calling_ae_title(event.assoc)
        )


def _caller(association: Association) -> Caller:
    return Caller(_calling_ae_title(association), _peer_address(association))


def _calling_ae_title(association: Association) -> str:
    return str(association.requestor.ae_title).strip()


def _called_ae_title(association: Association) -> str:
    request = association.requestor.primitive
    return "" if request is None else str(request.called_ae_title).strip()


def _peer_address(association: Association) -> str:
    address = association.requestor.address_info
    return "" if address is None else address.address


def _names(contexts: Iterable[PresentationContext]) -> list[str]:
    return sorted({UID(str(context.abstract_syntax)).name for context in contexts})
