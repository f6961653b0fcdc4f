"""Writes docs/conformance.md, the statement of the default configuration; `--check` only compares.

Before, it writes the list of the attributes that results have, which the statement shows: from results of made-up
images that say much, little and something else.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from patchclip_node.conformance import as_markdown, claims_of
from patchclip_node.domain.recalls import RecallReason
from patchclip_node.domain.records import NewResult
from patchclip_node.domain.variants import NoteKind, ResultKind, ResultVariant
from patchclip_node.product import PRODUCT_VERSION
from patchclip_node.results import ResultContext, build_results
from patchclip_node.results.reports.rejection_note import Withdrawal, rejection_note
from patchclip_node.settings import NodeSettings
from tests.support.synthetic import DX, TRAINED, UNTRAINED, analysed, result_context, source_image, with_overlay

ROOT: Final = Path(__file__).parents[1]
STATEMENT: Final = ROOT / "docs" / "conformance.md"
ATTRIBUTES: Final = ROOT / "node" / "patchclip_node" / "conformance" / "attributes.csv"
FIELDS: Final = ("kind", "tag", "vr", "keyword", "presence", "source", "value")
_FIXED_VRS: Final = frozenset({"CS", "LO", "SH", "US", "IS", "DS"})
_DATE: Final = f"as of version {PRODUCT_VERSION}"

_PRESENT: Final[dict[str, Any]] = {"opacity": [(3, 3, 3, 3)], "pleural_effusion": [(10, 2, 3, 3)]}
_LITTLE: Final = (
    "SpecificCharacterSet",
    "StudyDescription",
    "ReferringPhysicianName",
    "AccessionNumber",
    "StudyID",
    "Manufacturer",
    "StationName",
    "ManufacturerModelName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "BodyPartExamined",
    "ViewPosition",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
)
_OTHER: Final[dict[str, Any]] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "BodyPartExamined": "LUNG",
    "SOPClassUID": DX,
    "SOPInstanceUID": "1.2.826.0.1.3680043.2.1143.2.4",
    "StudyInstanceUID": "1.2.826.0.1.3680043.2.1143.2.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.2.1143.2.2",
    "StudyDate": "20250203",
    "StudyTime": "131415",
    "AccessionNumber": "B200",
    "StudyID": "8",
    "StudyDescription": "Thorax",
    "ReferringPhysicianName": "House^Eva",
    "Manufacturer": "Another",
    "ManufacturerModelName": "Detector 2",
    "StationName": "XR2",
    "Modality": "DX",
    "PatientName": "Other^Patient",
    "PatientID": "P200",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19800101",
    "PatientSex": "M",
    "PatientAge": "046Y",
    "PatientSize": "1.80",
    "PatientWeight": "80",
    "EthnicGroup": "unsaid",
    "BurnedInAnnotation": "NO",
    "ImageLaterality": "U",
    "TimezoneOffsetFromUTC": "+0100",
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": "10",
    "LossyImageCompressionMethod": "ISO_10918_1",
    "PhotometricInterpretation": "MONOCHROME1",
    "Rows": 420,
    "Columns": 510,
}


def _sources(usual: ResultContext) -> list[tuple[Dataset, ResultContext, dict[str, Any]]]:
    later = replace(usual, now=datetime(2025, 5, 6, 7, 8, 9, 1, tzinfo=UTC), station_name="OTHER", revision=3)
    little: dict[str, Any] = dict.fromkeys(_LITTLE)
    return [
        (source_image(), usual, {}),
        (source_image(**little), usual, little),
        (source_image(**_OTHER), later, _OTHER),
    ]


def _built() -> Iterator[tuple[str, Dataset, Dataset]]:
    """Yield (kind, its source, a result)."""
    usual = result_context()
    for number, (source, context, attributes) in enumerate(_sources(usual)):
        is_other = context is not usual
        present = {"opacity": _PRESENT["opacity"]} if is_other else _PRESENT
        image = with_overlay(analysed(present, UNTRAINED if is_other else TRAINED, **attributes))
        results = build_results([image], [], context, [ResultVariant.usual(kind) for kind in ResultKind])
        for variant, dataset in results:
            yield variant.kind.value, source, dataset
        yield NoteKind.REJECTION_NOTE.value, source, _note(results[0][1], context, number)


def _note(withdrawn: Dataset, context: ResultContext, number: int) -> Dataset:
    series, instance = withdrawn.SeriesInstanceUID, withdrawn.SOPInstanceUID
    result = NewResult(ResultKind.SR, "sr", withdrawn.SOPClassUID, instance, series, "key", 1, "0" * 64)
    return rejection_note(
        Withdrawal(
            [result],
            RecallReason.QUALITY,
            "words",
            context.now,
            context.station_name,
            f"2.25.{number + 1}",
            "2.25.2",
            "2.25.3",
        ),
        withdrawn,
    )


def attributes() -> str:
    """Return the list as CSV: each kind's attributes in the order of their tags."""
    found: dict[str, list[tuple[Dataset, Dataset]]] = {}
    for kind, source, dataset in _built():
        found.setdefault(kind, []).append((source, dataset))
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(FIELDS)
    for kind, pairs in found.items():
        for tag in sorted({element.tag for _, dataset in pairs for element in dataset}):
            having = [(source, dataset[tag]) for source, dataset in pairs if tag in dataset]
            element = having[0][1]
            presence = "ALWAYS" if len(having) == len(pairs) else "ANAP"
            table.writerow([kind, str(tag).replace(" ", ""), element.VR, element.keyword, presence, *_source(having)])
    return written.getvalue()


def _source(having: list[tuple[Dataset, DataElement]]) -> tuple[str, str]:
    element = having[0][1]
    values = {_written(one) for _, one in having}
    (value, *_) = values
    is_plain = element.VR in _FIXED_VRS and element.keyword not in {"Rows", "Columns"}
    may_be_fixed = len(having) > 1 and (is_plain or element.keyword == "SOPClassUID")
    if may_be_fixed and len(values) == 1 and value not in {"", "None", PRODUCT_VERSION}:
        return "FIXED", value
    copied = all(one.keyword in source and source[one.tag].value == one.value for source, one in having)
    return ("IMAGE" if copied else "AUTO"), ""


def _written(element: DataElement) -> str:
    value = element.value
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return value.name if isinstance(value, UID) else str(value)


def statement() -> str:
    """Return the statement of the default configuration."""
    return as_markdown(claims_of(NodeSettings()), _DATE)


def main() -> int:
    """Write, or with `--check` compare; 1 where the list or the statement is out of date."""
    if "--check" in sys.argv:
        present = (ATTRIBUTES.read_text(encoding="utf-8"), STATEMENT.read_text(encoding="utf-8"))
        return int(present != (attributes(), statement()))
    ATTRIBUTES.write_text(attributes(), encoding="utf-8")
    STATEMENT.write_text(statement(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
