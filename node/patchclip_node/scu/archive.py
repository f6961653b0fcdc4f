"""An archive that is queried by C-FIND and has its studies brought by C-MOVE or C-GET (PS3.4 C.4, Study Root)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove  # type: ignore[attr-defined]  # from a table

from patchclip_core.io.vocabulary import Vocabulary
from patchclip_node.dicom import statuses
from patchclip_node.dicom.archived import (
    archived_series,
    archived_study,
    retrieval,
    series_query,
    shown_query,
    studies_query,
)
from patchclip_node.domain.backfill import ArchivedSeries, ArchivedStudy, StudyNotPulledError, Window
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.associations import Associations, Handler, NoContextError, end, where
from patchclip_node.scu.confirmation import QUERY_CONTEXT
from patchclip_node.scu.contexts import UNCOMPRESSED

MOVE_CONTEXT: Final[PresentationContext] = build_context(StudyRootQueryRetrieveInformationModelMove, list(UNCOMPRESSED))

MOST_ANSWERS: Final = 5000
"""More are not read: who answers more to a few days does not go by the days, or the window is to be divided."""


class Retrieval(Protocol):
    """One way of having objects brought. name: of the DIMSE service. contexts: the first one is the service's.

    roles, handlers: of the association, besides.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def contexts(self) -> Sequence[PresentationContext]:
        """See the class."""
        ...

    @property
    def roles(self) -> Sequence[SCP_SCU_RoleSelectionNegotiation]:
        """See the class."""
        ...

    @property
    def handlers(self) -> Sequence[Handler]:
        """See the class."""
        ...

    def ask(self, association: Association, wanted: Dataset) -> Iterator[Dataset]:
        """Ask, and yield the status of each response."""
        ...


class Move:
    """C-MOVE: the archive sends to an AE title that it knows, in an association that it asks for."""

    name = "C-MOVE"
    contexts = (MOVE_CONTEXT,)
    roles = ()
    handlers = ()

    def __init__(self, move_to: str) -> None:
        """move_to: the AE title of this node, as the archive knows it."""
        self._move_to = move_to

    def ask(self, association: Association, wanted: Dataset) -> Iterator[Dataset]:
        """See `Retrieval`."""
        return (status for status, _ in association.send_c_move(wanted, self._move_to, _model(MOVE_CONTEXT)))


class DicomArchive:
    """The port `Archive`, by DIMSE services: queries and a retrieval go over one association.

    Whoever has it closes it; it may be used again afterwards.
    """

    def __init__(
        self,
        archive: Destination,
        associations: Associations,
        by: Retrieval,
        ae_title: str,
        vocabulary: Vocabulary | None = None,
        tell: Callable[[str], None] = lambda _query: None,
    ) -> None:
        """ae_title: this node's. tell: takes what each query asks for, for the audit trail."""
        self._archive = archive
        self._associations = associations
        self._by = by
        self._ae_title = ae_title
        self._vocabulary = vocabulary
        self._tell = tell
        self._open: Association | None = None

    def close(self) -> None:
        """End the association, if there is one."""
        association, self._open = self._open, None
        if association is not None:
            end(association)

    def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        """See the port."""
        answers, status = self._find(studies_query(window, modality))
        if status is None or statuses.is_out_of_resources(status):
            is_whole = False
        elif status == statuses.SUCCESS:
            is_whole = True
        else:
            raise PeerError(f"{where(self._archive)} answered 0x{status:04X} when it was asked for studies of {window}")
        read = [archived_study(one) for one in answers]
        return [one for one in read if one.study_instance_uid], is_whole

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """See the port."""
        answers, status = self._find(series_query(study_instance_uid))
        if status != statuses.SUCCESS:
            said = "gave too many answers" if status is None else f"answered 0x{status:04X}"
            again = status is not None
            raise StudyNotPulledError(f"{where(self._archive)} {said} when it was asked for the series", again=again)
        read = [archived_series(one, self._vocabulary) for one in answers]
        return [one for one in read if one.series_instance_uid]

    def pull(self, study_instance_uid: str, series_instance_uids: Sequence[str]) -> str:
        """See the port."""
        missing: list[str] = []
        association = self._association(self._by.contexts[0], self._by.name)
        try:
            for uid in series_instance_uids or ("",):
                missing += self._retrieve(association, retrieval(study_instance_uid, uid))
        finally:
            self.close()  # the next study may be minutes away, and archives close what is idle
        return "; ".join(missing)

    def _find(self, query: Dataset) -> tuple[list[Dataset], int | None]:
        """Return the answers and the final status; None where there were more answers than are read."""
        self._tell(shown_query(query))
        answers: list[Dataset] = []
        association = self._association(QUERY_CONTEXT, "C-FIND")
        try:
            for status, found in association.send_c_find(query, _model(QUERY_CONTEXT)):
                code = status.get("Status")
                if code is None:
                    break
                if code not in statuses.PENDING:
                    return answers, int(code)
                if found is not None:
                    answers.append(found)
                if len(answers) >= MOST_ANSWERS:
                    association.abort()
                    return answers, None
        except (RuntimeError, ValueError) as error:
            self.close()
            raise PeerError(f"{where(self._archive)} could not be asked by C-FIND: {error}") from error
        self.close()
        raise PeerError(f"{where(self._archive)} gave no answer to C-FIND, or ended the association")

    def _retrieve(self, association: Association, wanted: Dataset) -> list[str]:
        """Return what was not sent, in words; nothing where all was."""
        place, final = where(self._archive), Dataset()
        if not association.is_established:
            raise StudyNotPulledError(f"{place} ended the association before all was asked for", again=True)
        try:
            for status in self._by.ask(association, wanted):
                final = status
        except (RuntimeError, ValueError) as error:
            raise StudyNotPulledError(f"{place} could not be asked by {self._by.name}: {error}", again=True) from error
        code = final.get("Status")
        if code is None:
            raise StudyNotPulledError(
                f"{place} gave no answer to {self._by.name}, or ended the association", again=True
            )
        failed = int(final.get("NumberOfFailedSuboperations") or 0)
        if code == statuses.SUCCESS or (statuses.is_warning(code) and not failed):
            return []
        if statuses.is_warning(code):
            sent = int(final.get("NumberOfCompletedSuboperations") or 0)
            return [f"{place} did not send {failed} of {sent + failed} objects"]
        self._raise_unless_it_passes(code, final)
        raise StudyNotPulledError(f"{place} answered 0x{code:04X} to {self._by.name}{_comment(final)}", again=True)

    def _raise_unless_it_passes(self, code: int, final: Dataset) -> None:
        """Raise where asking again does not help: of this study, or of any."""
        place = where(self._archive)
        if code == statuses.MOVE_DESTINATION_UNKNOWN:
            raise ConfigurationError(
                f"{place} does not know the move destination {self._ae_title} (0x{code:04X}): register this node's "
                "AE title, address and port there"
            )
        if code in {statuses.NOT_AUTHORIZED, statuses.SOP_CLASS_NOT_SUPPORTED}:
            raise ConfigurationError(
                f"{place} does not let {self._ae_title} retrieve (0x{code:04X}{_comment(final)}): allow it there"
            )
        if statuses.is_data_set_mismatch(code):
            raise StudyNotPulledError(f"{place} answered 0x{code:04X} to {self._by.name}{_comment(final)}", again=False)

    def _association(self, context: PresentationContext, service: str) -> Association:
        """Return the association, a new one where there is none any more.

        Raises `PeerError`, and `ConfigurationError` where the archive does not offer what it is needed for.
        """
        association = self._open
        if association is None or not association.is_established:
            self.close()
            contexts = [QUERY_CONTEXT, *self._by.contexts]
            try:
                association = self._associations.open(self._archive, contexts, self._by.handlers, self._by.roles)
            except NoContextError as error:
                raise self._not_offered("C-FIND") from error
            self._open = association
        if not any(one.abstract_syntax == context.abstract_syntax for one in association.accepted_contexts):
            self.close()
            raise self._not_offered(service)
        return association

    def _not_offered(self, service: str) -> ConfigurationError:
        place = where(self._archive)
        return ConfigurationError(f"{place} offers no {service} (Study Root): allow it to {self._ae_title} there")


def _model(context: PresentationContext) -> str:
    return str(context.abstract_syntax)


def _comment(final: Dataset) -> str:
    comment = final.get("ErrorComment")
    return f" ({comment})" if comment else ""
