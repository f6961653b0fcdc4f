"""Segmentations and maps of other makers: drawn where they lie, or refused with the reason."""

from __future__ import annotations

import copy
from pathlib import Path

import highdicom
import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues
from pydicom import DataElement, Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from patchclip_node.domain.errors import NodeError
from patchclip_node.domain.variants import ResultKind
from patchclip_node.rendering.marks import Heat
from patchclip_node.rendering.render import render
from patchclip_node.rendering.segmentations import read_parametric_map
from tests.peers.radiographs import radiograph, write
from tests.support.rendered import (
    COLUMNS,
    LIMITS,
    ROWS,
    bounds,
    coloured,
    drawn,
)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        (SegmentationTypeValues.BINARY, ExplicitVRLittleEndian),
        (SegmentationTypeValues.LABELMAP, ExplicitVRLittleEndian),
        (SegmentationTypeValues.LABELMAP, RLELossless),
        (SegmentationTypeValues.LABELMAP, JPEGLSLossless),
    ],
)
def test_a_segmentation_of_another_maker_is_drawn(
    kind: SegmentationTypeValues, syntax: str, study: dict[ResultKind | str, Path], unlabelled: None, tmp_path: Path
) -> None:
    segmentation = foreign_segmentation(study["image"], kind, syntax)
    path = tmp_path / "seg.dcm"
    segmentation.save_as(path)

    mask = coloured(drawn(path, study["image"]))

    assert bounds(mask) == pytest.approx([300, 400, 403, 507], abs=2)


def foreign_segmentation(image: Path, kind: SegmentationTypeValues, syntax: str) -> Dataset:
    source = dcmread(image)
    source.AccessionNumber, source.PatientAge = "", "050Y"
    mask = np.zeros((1, ROWS, COLUMNS), dtype=np.uint8)
    mask[0, 400:507, 300:403] = 1
    description = highdicom.seg.SegmentDescription(
        1,
        "somebody's",
        highdicom.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        highdicom.sr.CodedConcept("27925004", "SCT", "Nodule"),
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    return highdicom.seg.Segmentation(
        [source],
        mask,
        kind,
        [description],
        highdicom.UID(),
        5,
        highdicom.UID(),
        1,
        "Somebody",
        "Model",
        "1",
        "1",
        transfer_syntax_uid=syntax,
    )


def test_a_segmentation_of_another_size_is_refused(study: dict[ResultKind | str, Path], tmp_path: Path) -> None:
    other = write(radiograph(rows=300, columns=300), tmp_path / "other.dcm")

    with pytest.raises(NodeError, match="480 x 640 pixels and the image 300 x 300"):
        render(study[ResultKind.SEG], other, LIMITS, anyway=True)


def spoilt(header: Dataset, fault: str) -> Dataset:
    dataset = copy.deepcopy(header)
    match fault:
        case "too many frames":
            dataset.NumberOfFrames = 100_000
        case "too large":
            dataset.Rows, dataset.Columns = 60_000, 60_000
        case "no pixels":
            del dataset.PixelData
        case "cut off":
            dataset.PixelData = dataset.PixelData[:64]
        case "frame without a segment":
            for part in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
                part.pop("SegmentIdentificationSequence", None)
        case "another class":
            dataset.SOPClassUID = CTImageStorage
    return dataset


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("too many frames", "100000 frames, more than 2000"),
        ("too large", "more than the 100000000 that are allowed"),
        ("no pixels", "no pixel data"),
        ("cut off", "pixel data"),
        ("frame without a segment", "does not say which segment"),
        ("another class", "CT Image Storage cannot be drawn over an image"),
    ],
)
def test_a_strangers_segmentation_is_refused_with_the_reason(
    fault: str, words: str, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "seg.dcm"
    spoilt(dcmread(study[ResultKind.SEG]), fault).save_as(path)

    with pytest.raises(Exception, match=words):
        render(path, study["image"], LIMITS)


@pytest.mark.parametrize("spacing", ["a\\b", "0.1", "0\\0", "", "nan\\nan"])
def test_an_image_whose_spacing_is_nonsense_is_taken_as_one_without(
    spacing: str, study: dict[ResultKind | str, Path]
) -> None:
    path = study[ResultKind.PARAMETRIC_MAP]
    bare = dcmread(study["image"])
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        bare.pop(keyword, None)
    spoilt_image = copy.deepcopy(bare)
    spoilt_image.add(DataElement("PixelSpacing", "LO", spacing))

    expected, drawn_marks = (read_parametric_map(path, dcmread(path), image).marks for image in (bare, spoilt_image))

    for one, other in zip(expected, drawn_marks, strict=True):
        (heat,), (other_heat,) = one.shapes, other.shapes
        assert isinstance(heat, Heat)
        assert isinstance(other_heat, Heat)
        assert np.array_equal(heat.values, other_heat.values)
