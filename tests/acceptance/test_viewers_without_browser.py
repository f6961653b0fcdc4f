"""What viewers outside of a browser show of the results: DICOMscope of annotations, DCMTK and PixelMed of reports."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results.phrases import Phrases
from tests.peers import dicomscope
from tests.peers.validators import report_text
from tests.support.marked import MarkedStudy, Says, analysed_study, radiograph_with_rectangle
from tests.support.pictures import Box, brightest_box, count_outside, edges_covered, inside

SOURCES: dict[str, dict[str, Any]] = {
    "MONOCHROME2, portrait": {"Rows": 900, "Columns": 700},
    "MONOCHROME1, landscape, without spacing": {
        "PhotometricInterpretation": "MONOCHROME1",
        "Rows": 600,
        "Columns": 800,
        "PixelSpacing": None,
        "ImagerPixelSpacing": None,
    },
}


def _marked(folder: Path, name: str) -> MarkedStudy:
    source, rectangle = radiograph_with_rectangle(**SOURCES[name])
    path = folder / f"{source.SOPInstanceUID}.dcm"
    source.save_as(path, enforce_file_format=True)
    return analysed_study(folder, path, rectangle)


def _without_annotations(state: Path) -> Path:
    """The same presentation state with nothing to draw."""
    bare = dcmread(state)
    del bare.GraphicAnnotationSequence, bare.GraphicLayerSequence
    path = state.with_suffix(".bare.dcm")
    bare.save_as(path)
    return path


@pytest.mark.peer("dicomscope")
def test_dicomscope_outlines_the_finding_over_an_image_of_its_own_polarity(tmp_path: Path, pictures_dir: Path) -> None:
    studies = [_marked(tmp_path, name) for name in SOURCES]
    states = [study.objects[ResultKind.GSPS] for study in studies]
    asked = [
        (study.source, one)
        for study, state in zip(studies, states, strict=True)
        for one in (state, _without_annotations(state))
    ]

    shown = dicomscope.presented(tmp_path / "dicomscope", asked)

    for name, study, annotated, bare in zip(SOURCES, studies, shown[::2], shown[1::2], strict=True):
        Image.fromarray(annotated).save(pictures_dir / f"dicomscope {name}.png".replace(",", "").replace(" ", "-"))
        assert study.rectangle is not None
        box = brightest_box(bare)
        factor = box.width / study.rectangle.width
        across, down = (half * factor + 1.5 for half in study.half_a_patch_px)
        drawn = np.abs(annotated.astype(int) - bare).max(axis=2) > 20
        assert edges_covered(drawn, box, across, down) > 0.95
        assert not inside(drawn, box.grown(-across - 2, -down - 2)).any()
        # The label stands above the finding, the notice at the top.
        beyond = box.grown(across, down)
        assert count_outside(drawn, Box(0, 0, drawn.shape[1], beyond.bottom)) == 0


@pytest.mark.peer("dcmtk")
@pytest.mark.peer("pixelmed")
@pytest.mark.parametrize("present", [{}, {"edema": [], "cardiomegaly": []}, {"opacity": [(3, 3, 3, 3)]}])
def test_dcmtk_and_pixelmed_tell_every_finding_of_a_report(
    present: dict[str, list[tuple[int, int, int, int]]], tmp_path: Path
) -> None:
    source, _ = radiograph_with_rectangle(bright=False, Rows=300, Columns=200)
    path = tmp_path / "image.dcm"
    source.save_as(path, enforce_file_format=True)
    study = analysed_study(tmp_path, path, analyzer=Says(present))
    report = study.objects[ResultKind.SR]

    dumped = subprocess.run(
        ["dsrdump", "--print-long-values", str(report)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    told = report_text(report)

    for finding in study.findings:
        line = Phrases(definitions=load_findings()).statement(finding).headline
        assert line in dumped
        assert line in told
    assert (ResultKind.SEG in study.objects) == ("opacity" in present)
