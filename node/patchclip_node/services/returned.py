"""Objects that readers made in their viewers are read, and what they say of findings becomes verdicts.

What cannot be understood stays where it is, and the study's page names it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog
from pydicom.sr.coding import Code

from patchclip_core.values.definitions import FindingDefinition
from patchclip_node.audit import events
from patchclip_node.dicom import codes
from patchclip_node.dicom.storage import READERS_SOP_CLASSES, VERDICT_SOURCES
from patchclip_node.domain.errors import DamagedFileError, LedgerUnavailableError, UnreadableInstanceError
from patchclip_node.domain.records import InstanceRecord, StudyRecord
from patchclip_node.domain.returned import ReadObject, Statement
from patchclip_node.domain.states import FINAL_STATES
from patchclip_node.domain.verdicts import Box, NewVerdict, Opinion, VerdictKind
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.returned import ReturnedObjects
from patchclip_node.ports.spool import Spool
from patchclip_node.services.outage import Outage
from patchclip_node.services.study_summary import FindingSummary, ImageSummary, StudySummary, read_summary
from patchclip_node.services.verdicts import fitting

_AT_ONCE: Final = 20
_LONGEST_NOTE: Final = 1000
_SAME_PLACE: Final = 0.5
"""Intersection over union from which on a reader's box is the one that the node drew."""

_REJECTS: Final = frozenset({codes.REJECTED_FOR_QUALITY, codes.REJECTED_FOR_SAFETY, codes.QUALITY_ISSUE})
_ACCEPTS: Final = frozenset({codes.FOR_REPORT_ATTACHMENT})
"""Titles of key objects (PS3.16 CID 7010) that say something of results which they name."""

ReadFile = Callable[[Path, Sequence[Path]], ReadObject]
"""An object and the images that it may speak of -> what it says. Raises `UnreadableInstanceError` with the reason."""

log = structlog.get_logger(__name__)


class ReturnedService:
    """Reads one object after another, in a thread of each worker."""

    def __init__(
        self,
        studies: Studies,
        returned: ReturnedObjects,
        spool: Spool,
        clock: Clock,
        definitions: Mapping[str, FindingDefinition],
        read_file: ReadFile,
    ) -> None:
        self._studies = studies
        self._returned = returned
        self._spool = spool
        self._clock = clock
        self._keys = _keys(definitions)
        self._read_file = read_file
        self._outage = Outage("ledger")

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Look every `every_s` seconds until `stop` is set; no trouble ends it."""
        while not stop.wait(every_s):
            try:
                self.run_once()
                self._outage.end()
            except LedgerUnavailableError as error:
                self._outage.begin(error)
            except Exception:
                log.exception("returned_objects_not_read")

    def run_once(self) -> int:
        """Read what waits and whose study is not under way; returns how many objects that were."""
        return sum(self._take(record) for record in self._returned.unread(_AT_ONCE))

    def _take(self, record: InstanceRecord) -> bool:
        revisions = self._studies.revisions(record.study_instance_uid)
        if revisions and revisions[-1].state not in FINAL_STATES and read_summary(revisions[-1].summary_json) is None:
            return False  # its answer is under way
        instance = record.instance
        by = events.peer(instance.calling_ae_title, instance.peer_address, ae_title=instance.calling_ae_title)
        said, note = self._understood(record, revisions)
        name = READERS_SOP_CLASSES[instance.header.sop_class_uid]
        note = f"{name} of a reader: {note}"[:_LONGEST_NOTE]
        is_first = self._returned.read(record.id, note, said, by, self._clock.now())
        log.info(
            "returned_object_read",
            study_instance_uid=record.study_instance_uid,
            sop_instance_uid=instance.header.sop_instance_uid,
            verdicts=len(said),
            calling_ae_title=instance.calling_ae_title,
        )
        return is_first

    def _understood(self, record: InstanceRecord, revisions: Sequence[StudyRecord]) -> tuple[list[NewVerdict], str]:
        """Return an object's verdicts, and what is said of it on the study's page."""
        analysed = [(one, found) for one in revisions if (found := read_summary(one.summary_json)) is not None]
        if not analysed:
            return [], "kept; nothing of this study was analysed"
        study, summary = analysed[-1]
        try:
            read = self._read(record, summary)
        except (UnreadableInstanceError, FileNotFoundError, DamagedFileError) as error:
            return [], f"kept, not understood: {error}"
        opinions, unclear = self._opinions(read, summary)
        said: list[NewVerdict] = []
        header = record.instance.header
        by = read.by or f"a reader at {record.instance.calling_ae_title}"
        for opinion in opinions:
            try:
                source = VERDICT_SOURCES[header.sop_class_uid]
                said.append(fitting(study, summary, opinion, by, source, header.sop_instance_uid))
            except ValueError as error:
                unclear.append(str(error))
        return said, _note(said, unclear)

    def _read(self, record: InstanceRecord, summary: StudySummary) -> ReadObject:
        wanted = {image.sop_instance_uid for image in summary.images}
        keys = {
            one.instance.header.sop_instance_uid: one.instance.spool_key
            for one in self._studies.instances(record.study_instance_uid)
            if one.instance.header.sop_instance_uid in wanted and not one.own_result and one.instance.spool_key
        }
        key = record.instance.spool_key
        assert key is not None  # objects of readers have their file
        with ExitStack() as files:
            path = files.enter_context(self._spool.local_path(key))
            images = [files.enter_context(self._spool.local_path(one)) for one in keys.values()]
            return self._read_file(path, images)

    def _opinions(self, read: ReadObject, summary: StudySummary) -> tuple[list[Opinion], list[str]]:
        """Return what an object says in terms of the findings, and what of it these terms do not hold."""
        unclear = list(read.unclear)
        said: dict[tuple[str, str], list[Statement]] = {}
        for statement in read.statements:
            key = self._keys.get(_normal(*statement.code)) or self._keys.get(_normal(statement.name))
            if key is None:
                unclear.append(f"{statement.name or 'a region without a name'} is not a finding that the node knows")
            else:
                said.setdefault((statement.sop_instance_uid, key), []).append(statement)
        opinions = []
        for (image_uid, key), statements in said.items():
            found = _finding(summary, image_uid, key)
            if len({one.is_there for one in statements}) > 1:
                unclear.append(f"{key} is said to be there and not to be there")
            elif found is None:
                unclear.append(f"the analysis says nothing of {key} in image {image_uid}")
            else:
                opinions.append(_opinion(image_uid, found, statements))
        opinions += self._of_results(read, summary, unclear)
        return opinions, unclear

    def _of_results(self, read: ReadObject, summary: StudySummary, unclear: list[str]) -> list[Opinion]:
        """Return what a key object says of results that it names: of all that they show as found."""
        accepts = read.title in _titles(_ACCEPTS)
        if not accepts and read.title not in _titles(_REJECTS):
            return []
        images = [image for image in summary.images if image.sop_instance_uid in self._shown_by(read.refers_to)]
        if not images:
            unclear.append("it names none of this node's results")
        kind = VerdictKind.ACCEPTED if accepts else VerdictKind.REJECTED
        return [
            Opinion(image.sop_instance_uid, finding.key, kind)
            for image in images
            for finding in image.findings
            if finding.state.is_found
        ]

    def _shown_by(self, results: Iterable[str]) -> set[str]:
        """Return the images of which results of this node speak."""
        shown: set[str] = set()
        for uid in results:
            key = self._returned.result_key(uid)
            if key is not None:
                with self._spool.local_path(key) as path:
                    shown |= self._read_file(path, []).refers_to
        return shown


def _opinion(image_uid: str, found: FindingSummary, statements: Sequence[Statement]) -> Opinion:
    boxes = tuple(box for one in statements for box in one.boxes)
    if not statements[0].is_there:
        return Opinion(image_uid, found.key, VerdictKind.REJECTED if found.state.is_found else VerdictKind.ACCEPTED)
    if not found.state.is_found:
        return Opinion(image_uid, found.key, VerdictKind.MISSED, boxes)
    if not boxes or _are_the_same(boxes, [Box(one.x, one.y, one.w, one.h) for one in found.regions]):
        return Opinion(image_uid, found.key, VerdictKind.ACCEPTED)
    return Opinion(image_uid, found.key, VerdictKind.CORRECTED, boxes)


def _are_the_same(boxes: Sequence[Box], regions: Sequence[Box]) -> bool:
    return len(boxes) == len(regions) and all(
        any(_overlap(box, region) >= _SAME_PLACE for region in regions) for box in boxes
    )


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    w = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    h = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    shared = max(w, 0) * max(h, 0)
    return shared / (one.w * one.h + other.w * other.h - shared)


def _finding(summary: StudySummary, image_uid: str, key: str) -> FindingSummary | None:
    images: list[ImageSummary] = [one for one in summary.images if one.sop_instance_uid == image_uid]
    return next((finding for image in images for finding in image.findings if finding.key == key), None)


def _keys(definitions: Mapping[str, FindingDefinition]) -> dict[str, str]:
    """Return the finding of each code and name, in every language."""
    keys: dict[str, str] = {}
    for key, known in definitions.items():
        for name in (key, known.name, known.code.meaning, *known.names.values()):
            keys[_normal(name)] = key
        keys[_normal(known.code.value, known.code.scheme)] = key
    return keys


def _normal(*words: str) -> str:
    return " ".join(" ".join(words).casefold().replace("_", " ").split())


def _titles(wanted: Iterable[Code]) -> set[tuple[str, str]]:
    return {(code.value, code.scheme_designator) for code in wanted}


def _note(said: Sequence[NewVerdict], unclear: Sequence[str]) -> str:
    told = ", ".join(f"{one.opinion.finding} {one.opinion.kind}" for one in said)
    left = f"not understood: {'; '.join(dict.fromkeys(unclear))}" if unclear else ""
    return "; ".join(filter(None, (told, left))) or "kept; it says nothing of a finding"
