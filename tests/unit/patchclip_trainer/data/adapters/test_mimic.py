"""MIMIC-CXR with its reports, as pictures and as DICOM."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from patchclip_trainer.data.label_domains import LabelState, label_of
from tests.support.manifests import places, read_as

Save = Callable[..., Path]


def test_mimic_cxr_jpg_with_reports(tmp_path: Path, save_picture: Save) -> None:
    study = tmp_path / "files" / "p10" / "p10000032" / "s50414267"
    for number, name in enumerate(("aa", "bb")):
        save_picture(study / f"{name}.jpg", seed=number)
    study.with_suffix(".txt").write_text(
        " FINDINGS: \n\n No effusion.\n\n IMPRESSION: \n\n Normal.\n", encoding="utf-8"
    )
    save_picture(tmp_path / "files" / "p10" / "p10000032" / "s2" / "cc.jpg", seed=3)
    (tmp_path / "files" / "p10" / "p10000032" / "s2.txt").write_text(
        "FINAL REPORT\nIMPRESSION: ___\n", encoding="utf-8"
    )
    tables = {
        "metadata": "dicom_id,subject_id,study_id,ViewPosition\naa,10000032,50414267,PA\nbb,10000032,50414267,LATERAL\n"
        "cc,10000032,2,AP\n",
        "split": "dicom_id,study_id,subject_id,split\naa,50414267,10000032,validate\ncc,2,10000032,validate\n",
        "chexpert": "subject_id,study_id,Atelectasis,Edema,Fracture,Pneumonia\n10000032,50414267,0.0,1.0,,-1.0\n",
    }
    for part, text in tables.items():
        (tmp_path / f"mimic-cxr-2.0.0-{part}.csv.gz").write_bytes(gzip.compress(text.encode()))

    manifest = read_as(tmp_path, "mimic-cxr")

    first, second = manifest.images
    assert (first.split, first.view, first.labels) == ("val", "PA", ("Edema",))
    assert first.uncertain == ("Pneumonia",)
    known = {key: label_of(first, (), key) for key in ("edema", "opacity", "atelectasis", "fracture")}
    assert known == {
        "edema": LabelState.TEXT_POSITIVE,
        "opacity": LabelState.UNKNOWN,  # pneumonia is one of its names
        "atelectasis": LabelState.TEXT_NEGATIVE,
        "fracture": LabelState.TEXT_NEGATIVE,  # not mentioned
    }
    assert "No effusion." in first.text
    assert second.text == ""
    assert places(manifest.problems) == [
        "mimic-cxr-2.0.0-metadata.csv.gz:3 not frontal chest",
        "files/p10/p10000032/s2.txt empty report",
    ]


def test_mimic_cxr_dicom(tmp_path: Path, save_dicom: Save, write_csv: Save) -> None:
    path = "files/p10/p10000032/s50414267/aa.dcm"
    save_dicom(tmp_path / path, ViewPosition="AP")
    gone = path.replace("aa", "bb")
    header = ("subject_id", "study_id", "dicom_id", "path")
    write_csv(
        tmp_path / "cxr-record-list.csv",
        header,
        ("10000032", "50414267", "aa", path),
        ("10000032", "50414267", "bb", gone),
    )

    manifest = read_as(tmp_path, "mimic-cxr")

    assert [row.view for row in manifest.images] == ["AP"]
    assert places(manifest.problems) == ["cxr-record-list.csv:3 missing image"]
