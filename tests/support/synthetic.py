"""Sources and findings made up for tests: what a radiograph's header may look like, and what a model may say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom import Dataset

from patchclip_core.drawing import draw_overlay
from patchclip_core.places.regions import find_regions
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.display import Display, Rescale, Window
from patchclip_core.values.results import (
    Finding,
    Findings,
    FindingState,
    Geometry,
    ModelIdentity,
    PatchGrid,
    Radiograph,
    Region,
    Sensitivity,
)
from patchclip_core.values.scores import Scores
from patchclip_core.values.wording import load_wordings
from patchclip_node.domain.variants import Drawing, PictureStyle
from patchclip_node.results import Predecessor, ResultContext
from patchclip_node.results.facts import AnalysedImage, Picture
from patchclip_node.results.source import read_facts

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"

TRAINED = ModelIdentity(
    name="patchclip-test",
    version="1.2.3",
    weights_digest="sha256:" + "ab" * 32,
    trained=True,
    calibrated=True,
    training_data="none, a test",
    licence="Apache-2.0",
    statement="A model for tests.",
)
UNTRAINED = ModelIdentity(
    name="patchclip-untrained",
    version="0.1",
    weights_digest="sha256:" + "cd" * 32,
    trained=False,
    calibrated=False,
    training_data="none",
    licence="Apache-2.0",
    statement="Random weights, for testing the way through the node.",
)

DEFINITIONS, WORDINGS = load_findings(), load_wordings()
"""As shipped; read once."""

USEFUL = Sensitivity(0.97, 0.93, 0.99, positives=210, judged_by="radiologists")
MISSES_MANY = Sensitivity(0.64, 0.54, 0.73, positives=144, judged_by="radiologists")

FULL_RANGE = Display(Rescale(), Window(2048, 4096))
"""How an analysis shows 12 bits where nothing is said against it."""


@dataclass(frozen=True)
class HashedUids:
    """UIDs from names, like the node's own generator."""

    def uid(self, *names: str) -> str:
        digest = hashlib.sha256("\0".join(names).encode()).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def source_image(**attributes: Any) -> Dataset:
    """A frontal chest CR as `read_dataset` gives it; keyword arguments replace attributes, None removes them."""
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": CR,
        "SOPInstanceUID": "1.2.826.0.1.3680043.2.1143.1.4",
        "StudyInstanceUID": "1.2.826.0.1.3680043.2.1143.1.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.2.1143.1.2",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "AccessionNumber": "A100",
        "StudyID": "7",
        "StudyDescription": "Chest PA",
        "ReferringPhysicianName": "Ward^Anna",
        "Manufacturer": "Somebody",
        "ManufacturerModelName": "Detector 1",
        "StationName": "XR1",
        "Modality": "CR",
        "PatientName": "Test^Patient",
        "PatientID": "P100",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "PatientAge": "056Y",
        "PatientSize": "1.70",
        "PatientWeight": "70",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "PixelSpacing": [0.2, 0.2],
        "ImagerPixelSpacing": [0.2, 0.2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 500,
        "Columns": 400,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    dataset = Dataset()
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def geometry(rows: int, columns: int) -> Geometry:
    """An image shrunk to 224 input pixels with padding, under a grid of 14 x 14 patches."""
    scale = 224 / max(rows, columns)
    return Geometry(
        source_rows=rows,
        source_columns=columns,
        input_rows=224,
        input_columns=224,
        scale_x=scale,
        scale_y=scale,
        offset_x_px=(224 - columns * scale) / 2,
        offset_y_px=(224 - rows * scale) / 2,
        grid=PatchGrid(rows=14, columns=14, pitch_px=16.0, centre_px=8.0),
    )


def localised(
    key: str, cells: Sequence[tuple[int, int, int, int]], form: Geometry, probability: float = 0.87
) -> Finding:
    """A present finding whose patches are high in the given cells (row, column, rows, columns)."""
    patch_map = np.full((form.grid.rows, form.grid.columns), 0.05, dtype=np.float32)
    for order, (row, column, rows, columns) in enumerate(cells):
        patch_map[row : row + rows, column : column + columns] = probability - 0.05 * order
    return Finding(key, FindingState.PRESENT, probability, 0.5, patch_map, find_regions(patch_map, form))


def absent(key: str, probability: float = 0.12, sensitivity: Sensitivity = USEFUL) -> Finding:
    """A finding that is not there, by a model that would have seen it."""
    return Finding(key, FindingState.ABSENT, probability, 0.5, sensitivity=sensitivity)


def not_seen(key: str, sensitivity: Sensitivity | None = None, lookalikes: tuple[str, ...] = ()) -> Finding:
    """A finding below its threshold, by a model that misses many, or for which another may be taken."""
    return Finding(key, FindingState.NOT_SEEN, 0.16, 0.55, sensitivity=sensitivity, lookalikes=lookalikes)


SCORES = Scores(
    tuple(round(0.2 + 0.035 * step, 4) for step in range(21)), tuple(round(0.04 * step, 4) for step in range(21))
)
"""From 20 % to 90 % where the finding is, from 0 to 80 % where it is not."""


def of_state(key: str, state: FindingState, regions: tuple[Region, ...] = ()) -> Finding:
    """A finding of which this is said, by a card that knows all that a card may know of it."""
    if state is FindingState.NOT_EVALUATED:
        return Finding(key, state, None, None, reason="it was not predicted in cross-validation")
    probability = {FindingState.PRESENT: 0.13, FindingState.POSSIBLE: 0.07}.get(state, 0.048)
    return Finding(
        key,
        state,
        probability,
        0.05,
        regions=regions if state.is_found else (),
        sensitivity=USEFUL if state is FindingState.ABSENT else MISSES_MANY,
        firm_threshold=0.1,
        scores=SCORES,
    )


def findings_for(
    source: Dataset,
    present: Mapping[str, Sequence[tuple[int, int, int, int]]] | None = None,
    model: ModelIdentity = TRAINED,
    remarks: tuple[str, ...] = (),
) -> Findings:
    """Findings of all shipped definitions: those in `present` (key -> cells, none for no place), the rest absent.

    Fracture is never evaluated.
    """
    form = geometry(int(source.Rows), int(source.Columns))
    items = []
    for key in DEFINITIONS:
        if present is not None and key in present:
            items.append(localised(key, present[key], form))
        elif key == "fracture":
            items.append(Finding(key, FindingState.NOT_EVALUATED, None, None, reason="the model has no head for it"))
        else:
            items.append(absent(key))
    return Findings(tuple(items), form, model, remarks)


def analysed(
    present: Mapping[str, Sequence[tuple[int, int, int, int]]] | None = None,
    model: ModelIdentity = TRAINED,
    remarks: tuple[str, ...] = (),
    **attributes: Any,
) -> AnalysedImage:
    """An analysed image of `source_image(**attributes)`."""
    source = source_image(**attributes)
    return analysed_source(source, present, model, remarks)


def analysed_source(
    source: Dataset,
    present: Mapping[str, Sequence[tuple[int, int, int, int]]] | None = None,
    model: ModelIdentity = TRAINED,
    remarks: tuple[str, ...] = (),
    display: Display = FULL_RANGE,
) -> AnalysedImage:
    """An analysed image of a data set."""
    return AnalysedImage(read_facts(source), findings_for(source, present, model), display, remarks)


def with_overlay(image: AnalysedImage, *styles: PictureStyle) -> AnalysedImage:
    """The same image with its pictures: a grey radiograph that gets brighter downwards. No styles: the usual one."""
    form, pictures = image.findings.geometry, {}
    pixels = np.repeat(
        np.linspace(0, 1, form.source_rows, dtype=np.float32)[:, np.newaxis], form.source_columns, axis=1
    )
    for style in styles or (PictureStyle(),):
        spoken = result_context().phrases(style.language)
        picture = draw_overlay(
            Radiograph(pixels),
            image.findings,
            spoken.definitions,
            heat_map=style.drawing is Drawing.HEAT_MAP,
            wording=spoken.wording,
            longest_side_px=style.longest_side_px,
        )
        pictures[style] = Picture(picture.height, picture.width, picture.tobytes())
    return replace(image, pictures=pictures)


def result_context(revision: int = 1, predecessors: tuple[Predecessor, ...] = ()) -> ResultContext:
    """A context in which nothing varies."""
    return ResultContext(
        revision=revision,
        uids=HashedUids(),
        now=datetime(2026, 1, 2, 11, 0, 0, 123456, tzinfo=UTC),
        station_name="PATCHCLIP",
        definitions=DEFINITIONS,
        predecessors=predecessors,
        wordings=WORDINGS,
    )
