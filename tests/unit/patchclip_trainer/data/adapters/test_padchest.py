"""PadChest, in its own layout."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_trainer.data.label_domains import LabelState, label_of
from tests.support.manifests import places, read_as

Save = Callable[..., Path]
HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,"
    "PatientSex_DICOM,Projection,MethodLabel,Report,Labels"
)
LIST = """
0,a.png,0,20140915,s1,p1,1930.0,F,PA,Physician,sin hallazg .,"[' normal', 'scoliosis']"
1,b.png,0,20140915,s2,p2,1900.0,M,AP_horizontal,RNN_model,derram .,"['pleural effusion', 'scoliosis', 'scoliosis']"
2,c.png,1,20140915,s3,p2,,M,L,RNN_model,derram .,"['pleural effusion']"
3,d.png,1,20140915,s4,p3,1950.0,,PA,Physician,.,"['exclude']"
4,e.png,1,20140915,s5,p4,1950.0,M,PA,Physician,.,"['unchanged', '']"
5,f.png,1,20140915,s6,p5,1950.0,M,PA,Physician,.,"['nodule', 'laminar atelectasis', 'atelectasis']"
"""


@pytest.mark.parametrize("packed", [False, True])
def test_padchest(tmp_path: Path, save_picture: Save, packed: bool) -> None:
    for seed, name in enumerate(("0/a.png", "0/b.png", "1/c.png", "1/d.png", "1/e.png")):
        save_picture(tmp_path / name, seed=seed)
    table = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    table.write_text(HEADER + LIST, encoding="utf-8")
    if packed:
        table.with_name(f"{table.name}.gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()

    manifest = read_as(tmp_path, "padchest")

    normal, effusion, silent = manifest.images
    assert (normal.image, normal.labels, normal.age_years, normal.view) == ("0/a.png", ("No Finding",), 84, "PA")
    assert (effusion.labels, effusion.age_years, effusion.view) == (("Pleural Effusion",), 90, "AP supine")
    assert effusion.label_source == "a network's, from reports (PadChest)"
    assert (silent.image, silent.labels, silent.text) == ("1/e.png", (), "")
    states = [label_of(row, (), "pleural_effusion") for row in manifest.images]
    assert states == [LabelState.TEXT_NEGATIVE, LabelState.TEXT_POSITIVE, LabelState.UNKNOWN]
    suffix = ".csv.gz" if packed else ".csv"
    list_name = f"PADCHEST_chest_x_ray_images_labels_160K_01.02.19{suffix}"
    assert places(manifest.problems) == [
        f"{list_name}:4 not frontal chest",
        f"{list_name}:5 not usable",
        f"{list_name}:7 missing image",
        f"{list_name} unknown finding",
    ]
    assert manifest.problems[-1].what == "2 images have the label 'scoliosis'"
