"""Rejection notes that are owed to destinations are built; from then on they go the way of results."""

from __future__ import annotations

from typing import Final

import structlog
from pydicom import Dataset

from patchclip_node.dicom.headers import read_dataset
from patchclip_node.domain.errors import DamagedFileError, LedgerUnavailableError, RejectedError, SpoolUnavailableError
from patchclip_node.domain.records import NewResult, OwedNote
from patchclip_node.domain.variants import NoteKind
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.recalls import Recalls
from patchclip_node.ports.spool import Spool
from patchclip_node.ports.uid_generator import UidGenerator
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results import encode
from patchclip_node.results.reports.rejection_note import Withdrawal, rejection_note
from patchclip_node.services.outage import Outage

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
"""How often it is looked for owed notes."""
_AT_ONCE: Final = 100

_KIND: Final = NoteKind.REJECTION_NOTE


class RejectionNotes:
    """Builds what is owed.

    Several processes may do so at once: a note's UIDs are the same in each, and one of them plans it.
    """

    def __init__(
        self, recalls: Recalls, spool: Spool, uids: UidGenerator, station_name: str, clock: Clock, calendar: Clock
    ) -> None:
        """`clock` is the ledger's; `calendar` shows the time that notes are dated by."""
        self._recalls = recalls
        self._spool = spool
        self._uids = uids
        self._station_name = station_name
        self._clock = clock
        self._calendar = calendar
        self._room = Outage("room")

    def run_once(self) -> int:
        """Build what can be built now; returns how many notes that are.

        One that cannot be built keeps no other back. Where the spool's store is away all wait for the next run.

        Raises `LedgerUnavailableError`; what was not planned then is built at the next run.
        """
        built = 0
        for owed in self._recalls.owed_notes(_AT_ONCE):
            try:
                built += self._build(owed)
            except LedgerUnavailableError:
                raise
            except SpoolUnavailableError as error:  # each of the others would wait for it as long
                self._room.begin(error)
                return built
            except Exception:
                log.exception("rejection_note_failed", study_instance_uid=owed.study.study_instance_uid)
            else:
                self._room.end()
        return built

    def _build(self, owed: OwedNote) -> bool:
        withdrawal = self._withdrawal(owed)
        note = rejection_note(withdrawal, self._header(owed))
        stored = self._spool.write([encode(note)])
        new = NewResult(
            kind=_KIND,
            variant=_KIND.value,
            sop_class_uid=str(note.SOPClassUID),
            sop_instance_uid=withdrawal.uid,
            series_instance_uid=withdrawal.series_uid,
            spool_key=stored.key,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )
        if not self._recalls.settle_note(owed, new, self._clock.now()):
            self._spool.delete(stored.key)  # another process has planned it
            return False
        log.info(
            "rejection_note_built",
            study_instance_uid=owed.study.study_instance_uid,
            revision=owed.study.revision,
            destination=owed.destination,
            withdrawn=len(owed.results),
            recall=owed.recall.id,
        )
        return True

    def _withdrawal(self, owed: OwedNote) -> Withdrawal:
        """Say what is said; the ledger's number of a recall alone would name another one in another ledger."""
        asked, study = owed.recall.request, owed.study
        about = (study.study_instance_uid, str(study.revision), owed.destination, owed.recall.at.isoformat())
        return Withdrawal(
            results=[one.result for one in owed.results],
            reason=asked.reason,
            words=asked.words,
            now=self._calendar.now().astimezone(),
            station_name=self._station_name,
            uid=self._uids.uid("instance", _KIND, *about),
            series_uid=self._uids.uid("series", _KIND, *about),
            device_uid=self._uids.uid("device", PRODUCT_NAME, PRODUCT_VERSION),
        )

    def _header(self, owed: OwedNote) -> Dataset:
        """Return a header with patient and study: of the first object that can be read, else what the ledger knows."""
        for one in owed.results:
            try:
                with self._spool.local_path(one.result.spool_key) as path:
                    return read_dataset(path)
            except (FileNotFoundError, RejectedError, DamagedFileError) as error:
                log.warning("result_unreadable", spool_key=one.result.spool_key, error=str(error))
        return _as_the_ledger_knows_it(owed)


def _as_the_ledger_knows_it(owed: OwedNote) -> Dataset:
    known, study = Dataset(), owed.study
    known.SpecificCharacterSet = "ISO_IR 192"
    known.StudyInstanceUID = study.study_instance_uid
    known.PatientID, known.PatientName = study.patient_id, study.patient_name
    known.AccessionNumber, known.StudyDescription = study.accession_number, study.study_description
    known.PatientBirthDate = known.PatientSex = known.StudyDate = known.StudyTime = None
    known.ReferringPhysicianName = known.StudyID = None
    return known
