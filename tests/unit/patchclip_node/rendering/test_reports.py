"""Structured reports: regions of every type in their place, and all that is said beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from patchclip_core.values.results import Radiograph
from patchclip_node.domain.errors import NodeError
from patchclip_node.domain.variants import ResultKind
from patchclip_node.rendering.marks import Mark, Marks
from patchclip_node.rendering.paint import _rows
from patchclip_node.rendering.render import render
from patchclip_node.rendering.reports import read_report
from tests.support.rendered import (
    COLOUR,
    LIMITS,
    bounds,
    coloured,
    drawn,
    item,
)


def with_region(study: dict[ResultKind | str, Path], graphic_type: str, data: list[float], folder: Path) -> Path:
    """The node's report as another maker might write it: another graphic type, and a finding without a known code."""
    report = dcmread(study[ResultKind.SR])
    (group,) = [
        item
        for part in report.ContentSequence
        for item in part.get("ContentSequence", ())
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
    ]
    (region,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
    region.GraphicType, region.GraphicData = graphic_type, data
    path = folder / "report.dcm"
    report.save_as(path)
    return path


@pytest.mark.parametrize(
    ("graphic_type", "data", "expected"),
    [
        ("CIRCLE", [200.0, 300.0, 200.0, 350.0], [150, 250, 250, 350]),
        ("ELLIPSE", [100.0, 300.0, 300.0, 300.0, 200.0, 250.0, 200.0, 350.0], [100, 250, 300, 350]),
        ("POLYLINE", [100.0, 250.0, 300.0, 250.0, 300.0, 350.0], [100, 250, 300, 350]),
        ("MULTIPOINT", [100.0, 250.0, 300.0, 350.0], [94, 244, 306, 356]),
    ],
)
def test_every_graphic_type_of_a_report_is_drawn_in_its_place(
    graphic_type: str,
    data: list[float],
    expected: list[float],
    study: dict[ResultKind | str, Path],
    unlabelled: None,
    tmp_path: Path,
) -> None:
    mask = coloured(drawn(with_region(study, graphic_type, data, tmp_path), study["image"]))

    assert bounds(mask) == pytest.approx(expected, abs=4)


def code(value: str, words: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator="99X", CodeMeaning=words)]


def said(value_type: str, name: str, words: str, *within: Dataset) -> Dataset:
    """A content item that says something beside a region."""
    value = {"ConceptCodeSequence": code("V", words)} if value_type == "CODE" else {"TextValue": words}
    return item(ValueType=value_type, ConceptNameCodeSequence=code("N", name), ContentSequence=list(within), **value)


def test_all_that_a_report_says_beside_a_region_is_in_the_legend(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    report = dcmread(with_region(study, "POINT", [100.0, 250.0], tmp_path))
    (group,) = [
        one
        for part in report.ContentSequence
        for one in part.get("ContentSequence", ())
        if one.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
    ]
    group.ContentSequence.extend(
        [
            said("CODE", "Finding Site", "Lung", said("CODE", "Laterality", "Left")),
            said("CODE", "Malignancy", "highly suspicious"),
            said("TEXT", "Comment", "seen before"),
            said("CODE", "Malignität", "高度"),
        ]
    )

    (mark,) = read_report(report, dcmread(study["image"])).marks

    assert mark.name == "Opacity"
    assert {
        "Tracking Identifier: lung opacity 1",
        "Finding Site: Lung (Laterality: Left)",
        "Malignancy: highly suspicious",
        "Comment: seen before",
        "Malignität: V 99X",
    } < set(mark.details)
    assert [detail for detail in mark.details if detail.startswith("lung opacity, present: ")]


@pytest.mark.parametrize("label", ["Herd", "山田"])
def test_letters_that_a_picture_cannot_show_are_told(label: str) -> None:
    plain = Radiograph(np.zeros((64, 64), dtype=np.float32))
    rows = [_rows(Marks((Mark(label, COLOUR, ()),), ()), "title", (), plain.remarks)]

    told = any("letters that this picture cannot show" in line for row in rows for line, _ in row)

    assert told == (label == "山田")


@pytest.mark.parametrize(
    ("graphic_type", "data", "words"),
    [
        ("POLYLINE", [1.0, 2.0, 3.0], "3 coordinates; it needs pairs"),
        ("POLYLINE", [float("nan"), 2.0], "far outside its image"),
        ("CIRCLE", [1.0, 2.0], "CIRCLE with 1 points cannot be drawn"),
        ("BLOB", [1.0, 2.0], "BLOB with 1 points cannot be drawn"),
        ("POINT", [1e9, 2.0], "far outside its image"),
    ],
)
def test_a_strangers_region_is_refused_with_the_reason(
    graphic_type: str, data: list[float], words: str, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    with pytest.raises(NodeError, match=words):
        render(with_region(study, graphic_type, data, tmp_path), study["image"], LIMITS)
