"""Sends results to their destinations, and says what went wrong in words that an administrator can act on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AddressInformation, AssociationSocket

from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.dicom.sockets import PromptSocket
from patchclip_node.dicom.statuses import SUCCESS
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.transport_security import PeerCertificate
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scu.commitment import COMMITMENT_CONTEXT, ReportsHere, why_not_asked, why_not_reported
from patchclip_node.scu.confirmation import QUERY_CONTEXT, why_not_there
from patchclip_node.scu.contexts import (
    MAX_CONTEXTS,
    UNCOMPRESSED,
    VERIFICATION_CONTEXT,
    contexts_for,
    with_pictures,
)
from patchclip_node.scu.security import HandshakeError, presented, secured
from patchclip_node.scu.statuses import Answer, answer, meaning

MAX_PDU_BYTES: Final = 131_072
"""Maximum Length of what we receive; responses are far shorter."""

Handler = tuple[evt.EventType, Callable[..., Any]]

log = structlog.get_logger(__name__)


class NoContextError(PeerError):
    """The peer accepted the association and no presentation context in it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a peer may take.

    connect_s: to take the connection. acse_s: to answer the association request. response_s: to store an object and
    answer. report_s: how long the association on which a destination was asked for its commitment stays open for its
    answer; later ones come over another association.
    """

    connect_s: float = 10.0
    acse_s: float = 30.0
    response_s: float = 120.0
    report_s: float = 5.0


class DicomResultSender:
    """Implements the port `ResultSender` with pynetdicom."""

    def __init__(
        self,
        ae_title: str,
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        """`ae_title` is what we call ourselves; destinations may know us by it."""
        self._ae_title = ae_title
        self._timeouts = timeouts

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        """Send over one association; one outcome a file, in order. Raises `PeerError` when no association came about.

        An uncompressed object is offered as it is and in Implicit VR Little Endian, which every SCP has to know
        (PS3.5 10.1); a compressed one only as it is. To a destination that falls back pictures are offered in any case,
        since an association for refused classes alone would not come about.
        """
        if not paths:
            return []
        read = [_read(path) for path in paths]
        contexts = contexts_for([dataset for dataset in read if isinstance(dataset, Dataset)])
        if not contexts:
            return [outcome for outcome in read if isinstance(outcome, SendOutcome)]
        if destination.fallback is not None:
            contexts = with_pictures(contexts)
        if destination.confirm is Confirmation.QUERY:
            contexts = [*contexts[: MAX_CONTEXTS - 1], QUERY_CONTEXT]
        association = self._associate(destination, contexts)
        outcomes: list[SendOutcome] = []
        try:
            for path, item in zip(paths, read, strict=True):
                if isinstance(item, SendOutcome):
                    outcomes.append(item)
                elif any(outcome.broken for outcome in outcomes):  # pynetdicom may not know it yet
                    outcomes.append(_unsent(path, destination))
                else:
                    outcomes.append(self._store(association, destination, path, item))
            if destination.confirm is Confirmation.QUERY:
                outcomes = [_confirmed(association, destination, *one) for one in zip(outcomes, read, strict=True)]
        finally:
            _end(association)
        return outcomes

    def request_commitment(
        self,
        destination: Destination,
        request: CommitmentRequest,
        report: Callable[[CommitmentReport], None],
        settled: Callable[[], bool],
    ) -> None:
        """See the port."""
        reports = ReportsHere(report)
        association = self._associate_for_commitment(destination, reports.handlers)
        try:
            reason = why_not_asked(association, request)
            if reason is not None:
                raise PeerError(f"{_where(destination)} {reason}")
            reports.wait(association, settled, self._timeouts.report_s)
        finally:
            _end(association)

    def report_commitment(self, destination: Destination, report: CommitmentReport) -> None:
        """Tell who asked what is committed to. Raises `PeerError` when it can't be told."""
        association = self._associate(destination, [COMMITMENT_CONTEXT], roles=[build_role(PUSH_MODEL, scp_role=True)])
        try:
            reason = why_not_reported(association, report)
        finally:
            _end(association)
        if reason is not None:
            raise PeerError(f"{_where(destination)} {reason}")

    def _associate_for_commitment(self, destination: Destination, handlers: Sequence[Handler] = ()) -> Association:
        try:
            return self._associate(destination, [COMMITMENT_CONTEXT], handlers)
        except NoContextError as error:
            raise PeerError(
                f"{_where(destination)} offers no storage commitment: allow it there, or set confirm: query or none"
            ) from error

    def check_confirmation(self, destination: Destination) -> None:
        """See the port."""
        match destination.confirm:
            case Confirmation.COMMITMENT:
                _end(self._associate_for_commitment(destination))
            case Confirmation.QUERY:
                _end(self._associate(destination, [QUERY_CONTEXT]))
            case Confirmation.NONE:
                pass

    def accepts(self, destination: Destination, sop_classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Negotiate what `send` would; return for each class those of our transfer syntaxes that are accepted.

        Nothing is sent. Raises `PeerError` when no association came about, whatever it is for.
        """
        offered = [build_context(uid, syntax) for uid in sop_classes for syntax in UNCOMPRESSED]
        try:
            association = self._associate(destination, offered[:MAX_CONTEXTS])
        except NoContextError:
            return dict.fromkeys(sop_classes, ())
        taken = [(one.abstract_syntax, str(one.transfer_syntax[0])) for one in association.accepted_contexts]
        _end(association)
        return {uid: tuple(syntax for accepted, syntax in taken if accepted == uid) for uid in sop_classes}

    def presented(self, destination: Destination) -> PeerCertificate | None:
        """Return the certificate that a destination shows; None for plain DICOM. Raises `PeerError`."""
        try:
            return presented(destination, self._timeouts.connect_s)
        except HandshakeError as error:
            raise PeerError(f"{_where(destination)} {error}") from error
        except OSError as error:
            raise PeerError(f"{_where(destination)} can't be reached: {error.strerror or error}") from error

    def echo(self, destination: Destination) -> None:
        """C-ECHO. Raises `PeerError`, whose text says what the administrator should look at."""
        association = self._associate(destination, [VERIFICATION_CONTEXT])
        try:
            status = association.send_c_echo().get("Status")
        except (RuntimeError, ValueError) as error:
            raise PeerError(f"{_where(destination)} accepted the association but no C-ECHO: {error}") from error
        finally:
            _end(association)
        if status is None:
            raise PeerError(f"{_where(destination)} gave no answer to C-ECHO within {self._timeouts.response_s:g} s")
        if status != SUCCESS:
            raise PeerError(f"{_where(destination)} answered C-ECHO with status 0x{status:04X}")

    def implementation(self, destination: Destination) -> str:
        """Return what a peer calls its implementation, after C-ECHO's association. Raises `PeerError`."""
        association = self._associate(destination, [VERIFICATION_CONTEXT])
        try:
            name, uid = association.acceptor.implementation_version_name, association.acceptor.implementation_class_uid
        finally:
            _end(association)
        return f"{name or 'unnamed'} ({uid})"

    def _associate(
        self,
        destination: Destination,
        contexts: list[PresentationContext],
        handlers: Sequence[Handler] = (),
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    ) -> Association:
        ae = _SendingEntity(self._ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = self._timeouts.connect_s
        ae.acse_timeout = self._timeouts.acse_s
        ae.dimse_timeout = self._timeouts.response_s
        ae.network_timeout = self._timeouts.response_s
        tls = None if destination.security is None else secured(destination.security, destination.host)
        try:
            association = ae.associate(
                destination.host,
                destination.port,
                contexts=contexts,
                ae_title=destination.ae_title,
                max_pdu=MAX_PDU_BYTES,
                ext_neg=list(roles),
                tls_args=tls,
                evt_handlers=[(evt.EVT_CONN_CLOSE, _end_of_waiting), *handlers],
            )
        except socket.gaierror as error:
            raise PeerError(
                f"the host name {destination.host!r} of destination {destination.name} can't be resolved: "
                f"{error.strerror}. Check the name, or write the address"
            ) from error
        if association.is_established:
            association.dimse = Answers(association)
            return association
        try:
            raise self._why_no_association(destination, association)
        finally:
            _end(association)

    def _why_no_association(self, destination: Destination, association: Association) -> PeerError:
        where = _where(destination)
        answered = association.acceptor.primitive
        if association.is_rejected and answered is not None:
            hints: dict[tuple[int | None, int | None], str] = {
                (1, 3): f"it does not know our AE title {self._ae_title!r}: register it there",
                (1, 7): f"it does not answer to the AE title {destination.ae_title!r}: correct ae_title here",
            }  # (source, reason) of A-ASSOCIATE-RJ, PS3.8 table 9-21
            hint = hints.get((answered.result_source, answered.diagnostic), f"reason: {answered.reason_str}")
            return PeerError(f"{where} rejected the association ({answered.result_str}); {hint}")
        if answered is not None:
            return NoContextError(
                f"{where} accepted the association but none of the objects' SOP classes: enable their storage there"
            )
        return self._why_no_answer_to_the_request(destination)

    def _why_no_answer_to_the_request(self, destination: Destination) -> PeerError:
        where = _where(destination)
        try:
            presented(destination, self._timeouts.connect_s)
        except HandshakeError as error:
            return PeerError(f"{where} {error}")
        except ConnectionRefusedError:
            return PeerError(f"{where} refused the connection: nothing listens there, or a firewall says no")
        except TimeoutError:
            patience_s = self._timeouts.connect_s
            return PeerError(f"{where} did not answer within {patience_s:g} s: check host, port and firewall")
        except OSError as error:
            return PeerError(f"{where} can't be reached: {error.strerror or error}")
        silent = "takes connections but did not answer our association request: is this the DICOM port?"
        return PeerError(f"{where} {silent}")

    def _store(self, association: Association, destination: Destination, path: Path, dataset: Dataset) -> SendOutcome:
        where = _where(destination)
        sop_class, syntax = UID(dataset.SOPClassUID), UID(dataset.file_meta.TransferSyntaxUID)
        if not association.is_established:
            return _unsent(path, destination)
        acceptable = UNCOMPRESSED if syntax in UNCOMPRESSED else (syntax,)
        if not any(
            context.abstract_syntax == sop_class and context.transfer_syntax[0] in acceptable
            for context in association.accepted_contexts
        ):
            return SendOutcome(
                path,
                f"{where} does not accept {sop_class.name} as {syntax.name}: enable it there",
                permanent=True,
                class_refused=True,
            )
        try:
            response = association.send_c_store(dataset)
        except (RuntimeError, ValueError, AttributeError) as error:
            alive = association.is_established
            return SendOutcome(path, f"{where}: could not be sent: {error}", permanent=alive, broken=not alive)
        status = response.get("Status")
        if status is None:
            return SendOutcome(path, f"{where} {self._why_no_answer(association)}", broken=True)
        verdict = answer(status)
        if verdict is Answer.STORED:
            if status != SUCCESS:
                log.warning("stored_with_warning", destination=destination.name, status=f"0x{status:04X}")
            return SendOutcome(path, None)
        comment = response.get("ErrorComment")
        words = f"{where} answered 0x{status:04X} ({meaning(status)})" + (f": {comment}" if comment else "")
        return SendOutcome(path, words, permanent=verdict is Answer.REFUSED, conflict=verdict is Answer.CONFLICT)

    def _why_no_answer(self, association: Association) -> str:
        if association.acse.is_aborted():
            return "ended the association while it was being sent this object"
        return f"gave no answer within {self._timeouts.response_s:g} s"


class _SendingEntity(AE):
    """Its sockets wait for a peer that reads nothing no longer than for one that answers nothing."""

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[SSLContext, str] | None
    ) -> AssociationSocket:
        created = PromptSocket(assoc, address=address)
        created.tls_args = tls_args
        if created.socket is not None and self.network_timeout is not None:
            limit = struct.pack("ll", int(self.network_timeout), int(self.network_timeout % 1 * 1_000_000))
            created.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return created


def _end_of_waiting(event: evt.Event) -> None:
    """Tell whoever waits for a response that none will come: pynetdicom lets it wait for the whole time-out."""
    event.assoc.dimse.msg_queue.put((None, None))


def _read(path: Path) -> Dataset | SendOutcome:
    try:
        dataset = dcmread(path)
    except (OSError, InvalidDicomError) as error:
        return SendOutcome(path, f"the file can't be read: {error}", permanent=True)
    missing = [keyword for keyword in ("SOPClassUID", "SOPInstanceUID") if keyword not in dataset]
    if missing or "TransferSyntaxUID" not in dataset.file_meta:
        return SendOutcome(path, f"the file lacks {', '.join(missing) or 'Transfer Syntax UID'}", permanent=True)
    return dataset


def _confirmed(
    association: Association, destination: Destination, outcome: SendOutcome, item: Dataset | SendOutcome
) -> SendOutcome:
    """Return what counts after the peer was asked for an object that it acknowledged."""
    if outcome.error is not None or isinstance(item, SendOutcome):
        return outcome
    reason = why_not_there(association, item)
    return outcome if reason is None else SendOutcome(outcome.path, f"{_where(destination)} {reason}")


def _unsent(path: Path, destination: Destination) -> SendOutcome:
    return SendOutcome(path, f"{_where(destination)} ended the association before this object was sent", broken=True)


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
    transport = association.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.close()  # pynetdicom leaves it open after a rejection or an abort


def _where(destination: Destination) -> str:
    return f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
