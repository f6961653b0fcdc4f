"""Verdicts become a training set: de-identified images, and lists in the trainer's generic format."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread

from patchclip_core.io.elements import text, tolerant_reading
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.dicom.confidentiality import BurnedInError, Deidentifier
from patchclip_node.dicom.image_facts import age_years
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.verdicts import Box, Verdict, VerdictKind, that_count
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.ports.verdicts import Verdicts
from patchclip_node.services.study_summary import read_summary

SOURCE: Final = "patchclip-node verdicts"
"""Name of the source of images and boxes, as conf/label_domains.yaml knows it."""

_MANIFEST: Final = ("image", "source_dataset", "licence_class", "patient_id", "sex", "age", "view", "adjudicated")
_BOXES: Final = ("image", "finding", "x", "y", "w", "h", "kind", "source", "trust", "reader")
_VIEWS: Final = frozenset({"AP", "PA"})
_OLDEST: Final = 90


@dataclass(frozen=True, slots=True)
class Written:
    """What a training set holds. left_out: of each image that is not in it, its SOP Instance UID and why."""

    images: int
    verdicts: int
    boxes: int
    left_out: Sequence[tuple[str, str]]


class TrainingSet:
    """Writes a folder that `patchclip-trainer prepare` takes."""

    def __init__(
        self,
        studies: Studies,
        verdicts: Verdicts,
        spool: Spool,
        outbox: AuditOutbox,
        clock: Clock,
        definitions: Collection[str],
        deidentifier: Deidentifier,
    ) -> None:
        self._studies = studies
        self._verdicts = verdicts
        self._spool = spool
        self._outbox = outbox
        self._clock = clock
        self._known = frozenset(definitions)
        self._deidentifier = deidentifier

    def write(self, folder: Path, by: Actor) -> Written:
        """Write images/, manifest.csv and boxes.csv of every image with a verdict into an empty or new folder.

        That they leave the node is told to the audit trail first. Raises `ConfigurationError` where the folder is not
        empty; `LedgerUnavailableError`; `OSError`.
        """
        if folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty: a training set goes into a new folder")
        judged = [(uid, self._studies.revisions(uid)) for uid in self._verdicts.studies()]
        newest: list[StudyRecord] = [revisions[-1] for _, revisions in judged if revisions]
        self._outbox.record(events.exported(self._clock.now(), by, folder.absolute().as_uri(), newest))
        (folder / "images").mkdir(parents=True, exist_ok=True)
        rows: list[Sequence[object]] = []
        boxes: list[Sequence[object]] = []
        left_out: list[tuple[str, str]] = []
        number = 0
        for study in newest:
            for uid, of_image in self._by_image(study.study_instance_uid).items():
                try:
                    source = self._copy(study.study_instance_uid, uid, folder)
                except (BurnedInError, LookupError, OSError, ValueError) as error:
                    left_out.append((uid, str(error)))
                    continue
                image = f"images/{self._file_name(uid)}"
                rows.append(self._row(image, source, of_image))
                boxes += self._boxes(image, study, of_image)
                number += len(of_image)
        _write(folder / "manifest.csv", _MANIFEST, rows)
        _write(folder / "boxes.csv", _BOXES, boxes)
        return Written(len(rows), number, len(boxes), left_out)

    def _by_image(self, study_instance_uid: str) -> dict[str, list[Verdict]]:
        by_image: dict[str, list[Verdict]] = {}
        for verdict in that_count(self._verdicts.of_study(study_instance_uid)).values():
            by_image.setdefault(verdict.said.opinion.sop_instance_uid, []).append(verdict)
        return by_image

    def _copy(self, study_instance_uid: str, sop_instance_uid: str, folder: Path) -> Dataset:
        """Write the de-identified copy of an image; returns what it was made of. Raises where that cannot be."""
        keys = [
            one.instance.spool_key
            for one in self._studies.instances(study_instance_uid)
            if one.instance.header.sop_instance_uid == sop_instance_uid and not one.own_result
        ]
        if not keys or keys[-1] is None:
            raise LookupError("the image is not here any more")
        with self._spool.local_path(keys[-1]) as path, tolerant_reading():
            source = dcmread(path, force=True)
            copy = self._deidentifier.deidentified(source)
            copy.save_as(folder / "images" / self._file_name(sop_instance_uid), enforce_file_format=True)
            return source

    def _file_name(self, sop_instance_uid: str) -> str:
        return f"{self._deidentifier.uid(sop_instance_uid)}.dcm"

    def _row(self, image: str, source: Dataset, verdicts: Sequence[Verdict]) -> Sequence[object]:
        age, view = age_years(source), text(source, "ViewPosition").upper()
        said = sorted(
            f"{one.said.opinion.finding}={'YES' if one.said.is_there else 'NO'}"
            for one in verdicts
            if one.said.opinion.finding in self._known
        )
        return (
            image,
            SOURCE,
            "own",
            self._deidentifier.pseudonym(text(source, "PatientID")),
            text(source, "PatientSex"),
            "" if age is None else min(int(age), _OLDEST),
            view if view in _VIEWS else "",
            "|".join(said),
        )

    def _boxes(self, image: str, study: StudyRecord, verdicts: Sequence[Verdict]) -> Iterator[Sequence[object]]:
        for verdict in verdicts:
            opinion = verdict.said.opinion
            if not verdict.said.is_there or opinion.finding not in self._known:
                continue
            drawn = opinion.kind in (VerdictKind.CORRECTED, VerdictKind.MISSED)
            reader = f"reader-{self._deidentifier.pseudonym(verdict.said.by)}"
            for box in opinion.boxes if drawn else self._accepted(study, verdict):
                trust = "high" if drawn else "medium"  # who accepts a finding may not have looked at its border
                place = (round(value, 1) for value in (box.x, box.y, box.w, box.h))
                yield (image, opinion.finding, *place, "finding", SOURCE, trust, reader)

    def _accepted(self, study: StudyRecord, verdict: Verdict) -> list[Box]:
        """Return where the node had found what a person accepted."""
        wanted = verdict.said.revision
        revisions = self._studies.revisions(study.study_instance_uid)
        summary = read_summary(next((one.summary_json for one in revisions if one.revision == wanted), None))
        return [
            Box(region.x, region.y, region.w, region.h)
            for image in (summary.images if summary else ())
            if image.sop_instance_uid == verdict.said.opinion.sop_instance_uid
            for finding in image.findings
            if finding.key == verdict.said.opinion.finding
            for region in finding.regions
        ]


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
