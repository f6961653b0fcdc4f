"""RSNA's pneumonia challenge and SIIM-ACR's masks, in their own layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters.rsna import boxes_of, mask_of
from tests.support.manifests import places, read_as

Save = Callable[..., Path]


def test_rsna_pneumonia(tmp_path: Path, save_dicom: Save) -> None:
    for number, name in enumerate(("aaaa-1", "bbbb-2")):
        save_dicom(tmp_path / "stage_2_train_images" / f"{name}.dcm", seed=number, ViewPosition="AP")
    (tmp_path / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\naaaa-1,,,,,0\nbbbb-2,10.0,15.0,20.0,30.0,1\nbbbb-2,40.0,15.0,20.0,30.0,1\n",
        encoding="utf-8",
    )
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\naaaa-1,Normal\nbbbb-2,Lung Opacity\nbbbb-2,Lung Opacity\n", encoding="utf-8"
    )

    manifest = read_as(tmp_path, "rsna")

    assert [(row.rsna_class, row.view, row.age_years) for row in manifest.images] == [
        ("Normal", "AP", 56),
        ("Lung Opacity", "AP", 56),
    ]
    assert [box.box.x for box in manifest.boxes] == [10, 40]
    assert manifest.problems == ()


def test_siim_acr_masks_become_boxes(tmp_path: Path, save_dicom: Save) -> None:
    save_dicom(tmp_path / "dicom-images-train" / "1.2" / "1.3" / "1.2.9.1.dcm", seed=1)
    save_dicom(tmp_path / "dicom-images-train" / "1.4" / "1.5" / "1.2.9.2.dcm", seed=2)
    runs = f"{1024 * 10 + 20} 30 {1024 - 30} 30"
    (tmp_path / "train-rle.csv").write_text(
        f"ImageId, EncodedPixels\n1.2.9.1, -1\n1.2.9.2,{runs}\n1.2.9.2,5 x\n1.2.9.3, -1\n", encoding="utf-8"
    )

    manifest = read_as(tmp_path, "siim-acr")

    assert [row.adjudicated for row in manifest.images] == [("Pneumothorax=NO",), ("Pneumothorax=YES",)]
    assert [box.box for box in manifest.boxes] == [Box(10, 20, 2, 30)]
    assert places(manifest.problems) == ["train-rle.csv:4 bad mask", "train-rle.csv:5 missing image"]


def test_siim_runs_count_from_the_end_of_the_last_run_and_go_down_columns() -> None:
    mask = mask_of("1 2 3 1", 4)

    assert np.argwhere(mask).tolist() == [[1, 0], [2, 0], [2, 1]]
    assert boxes_of(mask) == [Box(0, 1, 2, 2)]
    with pytest.raises(ValueError, match="beyond 4 x 4"):
        mask_of("15 2", 4)
