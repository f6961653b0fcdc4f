"""Sends results to their destinations, and says what went wrong in words that an administrator can act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import _config as pynetdicom_config
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.dicom.statuses import SUCCESS
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.transport_security import PeerCertificate
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.scu.associations import USUAL, Associations, Handler, NoContextError, Timeouts, end, where
from patchclip_node.scu.commitment import COMMITMENT_CONTEXT, ReportsHere, why_not_asked, why_not_reported
from patchclip_node.scu.confirmation import QUERY_CONTEXT, why_not_there
from patchclip_node.scu.contexts import (
    MAX_CONTEXTS,
    UNCOMPRESSED,
    VERIFICATION_CONTEXT,
    contexts_for,
    with_pictures,
)
from patchclip_node.scu.security import HandshakeError, presented
from patchclip_node.scu.statuses import Answer, answer, meaning

_NAMING: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""What has to be known of an object that goes as it is."""

pynetdicom_config.STORE_SEND_CHUNKED_DATASET = True  # a path is sent as the bytes of its file, and not read as a whole

log = structlog.get_logger(__name__)


class DicomResultSender:
    """Implements the port `ResultSender` with pynetdicom."""

    def __init__(self, ae_title: str, timeouts: Timeouts = USUAL) -> None:
        """`ae_title` is what we call ourselves; destinations may know us by it."""
        self._associations = Associations(ae_title, timeouts)
        self._timeouts = timeouts

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        """Send over one association; one outcome a file, in order. Raises `PeerError` when no association came about.

        An uncompressed object is offered as it is and in Implicit VR Little Endian, which every SCP has to know
        (PS3.5 10.1); a compressed one only as it is. To a destination that falls back pictures are offered in any case,
        since an association for refused classes alone would not come about. To one that gets objects `unchanged` each
        goes as it is, read from its file while it is sent.
        """
        if not paths:
            return []
        unchanged = destination.unchanged
        read = [_read(path, header_alone=unchanged) for path in paths]
        contexts = contexts_for([one for one in read if isinstance(one, Dataset)], unchanged=unchanged)
        if not contexts:
            return [outcome for outcome in read if isinstance(outcome, SendOutcome)]
        if destination.fallback is not None:
            contexts = with_pictures(contexts)
        if destination.confirm is Confirmation.QUERY:
            contexts = [*contexts[: MAX_CONTEXTS - 1], QUERY_CONTEXT]
        association = self._associations.open(destination, contexts)
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
            end(association)
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
                raise PeerError(f"{where(destination)} {reason}")
            reports.wait(association, settled, self._timeouts.report_s)
        finally:
            end(association)

    def report_commitment(self, destination: Destination, report: CommitmentReport) -> None:
        """Tell who asked what is committed to. Raises `PeerError` when it can't be told."""
        association = self._associations.open(
            destination, [COMMITMENT_CONTEXT], roles=[build_role(PUSH_MODEL, scp_role=True)]
        )
        try:
            reason = why_not_reported(association, report)
        finally:
            end(association)
        if reason is not None:
            raise PeerError(f"{where(destination)} {reason}")

    def _associate_for_commitment(self, destination: Destination, handlers: Sequence[Handler] = ()) -> Association:
        try:
            return self._associations.open(destination, [COMMITMENT_CONTEXT], handlers)
        except NoContextError as error:
            raise PeerError(
                f"{where(destination)} offers no storage commitment: allow it there, or set confirm: query or none"
            ) from error

    def check_confirmation(self, destination: Destination) -> None:
        """See the port."""
        match destination.confirm:
            case Confirmation.COMMITMENT:
                end(self._associate_for_commitment(destination))
            case Confirmation.QUERY:
                end(self._associations.open(destination, [QUERY_CONTEXT]))
            case Confirmation.NONE:
                pass

    def accepts(
        self, destination: Destination, sop_classes: Sequence[str], syntaxes: Sequence[str] = UNCOMPRESSED
    ) -> dict[str, tuple[str, ...]]:
        """Negotiate what `send` would; return for each class those of the transfer syntaxes that are accepted.

        Nothing is sent. Raises `PeerError` when no association came about, whatever it is for.
        """
        offered = [build_context(uid, syntax) for uid in sop_classes for syntax in syntaxes]
        try:
            association = self._associations.open(destination, offered[:MAX_CONTEXTS])
        except NoContextError:
            return dict.fromkeys(sop_classes, ())
        taken = [(one.abstract_syntax, str(one.transfer_syntax[0])) for one in association.accepted_contexts]
        end(association)
        return {uid: tuple(syntax for accepted, syntax in taken if accepted == uid) for uid in sop_classes}

    def presented(self, destination: Destination) -> PeerCertificate | None:
        """Return the certificate that a destination shows; None for plain DICOM. Raises `PeerError`."""
        try:
            return presented(destination, self._timeouts.connect_s)
        except HandshakeError as error:
            raise PeerError(f"{where(destination)} {error}") from error
        except OSError as error:
            raise PeerError(f"{where(destination)} can't be reached: {error.strerror or error}") from error

    def echo(self, destination: Destination) -> None:
        """C-ECHO. Raises `PeerError`, whose text says what the administrator should look at."""
        association = self._associations.open(destination, [VERIFICATION_CONTEXT])
        try:
            status = association.send_c_echo().get("Status")
        except (RuntimeError, ValueError) as error:
            raise PeerError(f"{where(destination)} accepted the association but no C-ECHO: {error}") from error
        finally:
            end(association)
        if status is None:
            raise PeerError(f"{where(destination)} gave no answer to C-ECHO within {self._timeouts.response_s:g} s")
        if status != SUCCESS:
            raise PeerError(f"{where(destination)} answered C-ECHO with status 0x{status:04X}")

    def implementation(self, destination: Destination) -> str:
        """Return what a peer calls its implementation, after C-ECHO's association. Raises `PeerError`."""
        association = self._associations.open(destination, [VERIFICATION_CONTEXT])
        try:
            name, uid = association.acceptor.implementation_version_name, association.acceptor.implementation_class_uid
        finally:
            end(association)
        return f"{name or 'unnamed'} ({uid})"

    def _store(self, association: Association, destination: Destination, path: Path, dataset: Dataset) -> SendOutcome:
        place = where(destination)
        sop_class, syntax = UID(dataset.SOPClassUID), UID(dataset.file_meta.TransferSyntaxUID)
        if not association.is_established:
            return _unsent(path, destination)
        acceptable = UNCOMPRESSED if syntax in UNCOMPRESSED and not destination.unchanged else (syntax,)
        if not any(
            context.abstract_syntax == sop_class and context.transfer_syntax[0] in acceptable
            for context in association.accepted_contexts
        ):
            return SendOutcome(
                path,
                f"{place} does not accept {sop_class.name} as {syntax.name}: enable it there",
                permanent=True,
                class_refused=True,
            )
        try:
            response = association.send_c_store(path if destination.unchanged else dataset)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            alive = association.is_established
            return SendOutcome(path, f"{place}: could not be sent: {error}", permanent=alive, broken=not alive)
        status = response.get("Status")
        if status is None:
            return SendOutcome(path, f"{place} {self._why_no_answer(association)}", broken=True)
        verdict = answer(status)
        if verdict is Answer.STORED:
            if status != SUCCESS:
                log.warning("stored_with_warning", destination=destination.name, status=f"0x{status:04X}")
            return SendOutcome(path, None)
        comment = response.get("ErrorComment")
        words = f"{place} answered 0x{status:04X} ({meaning(status)})" + (f": {comment}" if comment else "")
        return SendOutcome(path, words, permanent=verdict is Answer.REFUSED, conflict=verdict is Answer.CONFLICT)

    def _why_no_answer(self, association: Association) -> str:
        if association.acse.is_aborted():
            return "ended the association while it was being sent this object"
        return f"gave no answer within {self._timeouts.response_s:g} s"


def _read(path: Path, *, header_alone: bool) -> Dataset | SendOutcome:
    try:
        dataset = dcmread(path, specific_tags=list(_NAMING)) if header_alone else dcmread(path)
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
    return outcome if reason is None else SendOutcome(outcome.path, f"{where(destination)} {reason}")


def _unsent(path: Path, destination: Destination) -> SendOutcome:
    return SendOutcome(path, f"{where(destination)} ended the association before this object was sent", broken=True)


__all__ = ["DicomResultSender", "Timeouts"]
