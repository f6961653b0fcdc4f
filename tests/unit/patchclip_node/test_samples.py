from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from patchclip_core.io import DecodeLimits, read_radiograph
from patchclip_node.dicom.headers import read_dataset, read_header
from patchclip_node.dicom.select import select

FOLDER = Path(str(files("patchclip_node.samples")))
SAMPLES = sorted(FOLDER.glob("*.dcm"))
LIMITS = DecodeLimits(max_pixels=10_000_000, timeout_s=60, memory_bytes=4 * 1024**3)


def test_every_sample_is_a_study_of_its_own_that_the_node_analyses() -> None:
    headers = [read_header(path) for path in SAMPLES]

    assert len({header.study_instance_uid for header in headers}) == len(SAMPLES) == 8
    assert [select(read_dataset(path)).remarks for path in SAMPLES] == [()] * 8


def test_the_samples_differ_in_what_a_node_must_cope_with() -> None:
    headers = [read_header(path) for path in SAMPLES]
    datasets = [read_dataset(path) for path in SAMPLES]

    assert len({header.transfer_syntax_uid for header in headers}) == 4
    assert {header.modality for header in headers} == {"CR", "DX"}
    assert {dataset.PhotometricInterpretation for dataset in datasets} == {"MONOCHROME1", "MONOCHROME2"}
    assert {dataset.BitsStored for dataset in datasets} == {8, 10, 12}
    assert {"試験" in header.patient_name for header in headers} == {True, False}
    assert any("Δείγμα" in header.patient_name for header in headers)
    assert any("Образец" in header.patient_name for header in headers)


def test_every_sample_is_decoded_with_the_chest_bright_and_the_air_dark() -> None:
    for path in SAMPLES:
        pixels = read_radiograph(path, LIMITS).pixels
        rows, columns = pixels.shape
        middle = pixels[rows // 3 : 2 * rows // 3, columns // 2 - columns // 20 : columns // 2 + columns // 20].mean()
        lung = pixels[rows // 3 : rows // 2, columns // 4 : columns // 3].mean()
        assert middle > lung + 0.1, path.name


def test_every_sample_has_its_attribution_and_all_are_small() -> None:
    attribution = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")

    assert all(f"`{path.name}`" in attribution for path in SAMPLES)
    assert sum(path.stat().st_size for path in SAMPLES) < 3_000_000
