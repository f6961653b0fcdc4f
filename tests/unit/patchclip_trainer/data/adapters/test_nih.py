"""NIH ChestX-ray14, in its own layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from patchclip_core.values.results import Box
from tests.support.manifests import places, read_as

Save = Callable[..., Path]


def test_nih_with_its_box_list(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "images_001" / "images" / "00000001_000.png", seed=1)
    save_picture(tmp_path / "images_002" / "images" / "00000002_000.png", seed=2)
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly|Effusion,0,1,058,M,PA,2682,2749,0.143,0.143,\n"
        "00000002_000.png,No Finding,0,2,081Y,F,AP,2500,2048,0.168,0.168,\n"
        "00000003_000.png,No Finding,0,3,081Y,F,AP,2500,2048,0.168,0.168,\n",
        encoding="utf-8",
    )
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,22.5,31.5,18.5,19.25,,,\n",
        encoding="utf-8",
    )
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n", encoding="utf-8")

    manifest = read_as(tmp_path, "nih")

    first, second = manifest.images
    assert first.image == "images_001/images/00000001_000.png"
    assert (first.labels, first.age_years, first.sex, first.split) == (("Cardiomegaly", "Effusion"), 58, "M", "")
    assert (second.view, second.split, second.age_years) == ("AP", "test", 81)
    assert [(box.finding, box.box) for box in manifest.boxes] == [("Infiltration", Box(22.5, 31.5, 18.5, 19.25))]
    assert places(manifest.problems) == ["Data_Entry_2017.csv:4 missing image"]
