"""Open-i, as tables and as XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.manifests import places, read_as

Save = Callable[..., Path]


def test_openi_tables(tmp_path: Path, save_picture: Save, write_csv: Save) -> None:
    for number, name in enumerate(("1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png", "2_IM-1.dcm.png")):
        save_picture(tmp_path / "images" / "images_normalized" / name, seed=number)
    write_csv(
        tmp_path / "indiana_reports.csv",
        ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"),
        ("1", "normal", "normal", "Xray", "", "", "Lungs clear.", "Normal chest x-XXXX."),
        ("2", "x", "x", "Xray", "", "", "", "XXXX"),
    )
    write_csv(
        tmp_path / "indiana_projections.csv",
        ("uid", "filename", "projection"),
        ("1", "1_IM-0001-4001.dcm.png", "Frontal"),
        ("1", "1_IM-0001-3001.dcm.png", "Lateral"),
        ("2", "2_IM-1.dcm.png", "Frontal"),
    )

    manifest = read_as(tmp_path, "openi")

    assert [row.text for row in manifest.images] == ["FINDINGS: Lungs clear.\nIMPRESSION: Normal chest x-XXXX.", ""]
    assert manifest.images[0].labels == ("No Finding",)
    assert places(manifest.problems) == [
        "indiana_reports.csv:3 empty report",
        "indiana_projections.csv:3 not frontal chest",
    ]


def test_openi_xml(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png")
    folder = tmp_path / "NLMCXR_reports" / "ecgen-radiology"
    folder.mkdir(parents=True)
    (folder / "1.xml").write_text(
        '<eCitation><MedlineCitation><Abstract><AbstractText Label="FINDINGS">No effusion.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Normal.</AbstractText></Abstract></MedlineCitation>'
        '<MeSH><major>normal</major></MeSH><parentImage id="CXR1_1_IM-0001-3001"/></eCitation>',
        encoding="utf-8",
    )
    (folder / "2.xml").write_text("<eCitation>", encoding="utf-8")

    manifest = read_as(tmp_path, "openi")

    assert [(row.image, row.labels) for row in manifest.images] == [
        ("NLMCXR_png/CXR1_1_IM-0001-3001.png", ("No Finding",))
    ]
    assert [problem.kind for problem in manifest.problems] == ["view unknown", "damaged report"]
