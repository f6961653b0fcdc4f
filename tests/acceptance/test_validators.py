"""Every kind of result, for every kind of source, under the validators that the field uses."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import product
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from patchclip_core.values.results import ModelIdentity
from patchclip_core.values.wording import languages
from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.select import select
from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import Predecessor, build_results, encode
from patchclip_node.results.facts import AnalysedImage, SkippedImage, SourceFacts
from tests.peers.validators import DICOM3TOOLS, dcentvfy_errors, dciodvfy_errors, sr_template_errors, sr_text
from tests.support.objects import object_of
from tests.support.synthetic import (
    CR,
    DX,
    MISSES_MANY,
    SC,
    TRAINED,
    UNTRAINED,
    analysed,
    analysed_source,
    not_seen,
    result_context,
    source_image,
    with_overlay,
)

PLACE = {"opacity": [(3, 3, 3, 3)]}
LUNGS = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}
LATERAL = SkippedImage(CR, "1.2.826.0.1.3680043.2.1143.1.5", "the view is lateral (LL)")

EVERYTHING = (
    *(ResultVariant(kind) for kind in ResultKind if not kind.has_geometry),
    *(ResultVariant(kind, geometry) for kind in ResultKind if kind.has_geometry for geometry in PlaneGeometry),
)
OTHERS = [language for language in languages() if language != "en"]
MEASUREMENT_REPORT, PAGE = "TID_1500 (MeasurementReport)", "TID_2000 (BasicDiagnosticImagingReport)"
TEMPLATES = {
    ResultKind.SR: MEASUREMENT_REPORT,
    ResultKind.TEXT_SR: PAGE,
    ResultKind.KO: "TID_2010 (KeyObjectSelection)",
}

SOURCES: dict[SourceFacts, Dataset] = {}
"""The data set that the facts of each image of `STUDIES` were read from."""


def _of(
    source: Dataset,
    present: Mapping[str, Sequence[tuple[int, int, int, int]]],
    model: ModelIdentity = TRAINED,
    remarks: tuple[str, ...] = (),
) -> AnalysedImage:
    image = analysed_source(source, present, model, remarks)
    SOURCES[image.facts] = source
    return image


STUDIES: dict[str, tuple[list[AnalysedImage], list[SkippedImage], int]] = {
    "CR with findings": ([_of(source_image(), LUNGS)], [], 1),
    "DX, MONOCHROME1, landscape, 8 bit, without spacing": (
        [
            _of(
                source_image(
                    SOPClassUID=DX,
                    Modality="DX",
                    ViewPosition="AP",
                    PhotometricInterpretation="MONOCHROME1",
                    BitsAllocated=8,
                    BitsStored=8,
                    HighBit=7,
                    Rows=400,
                    Columns=500,
                    PixelSpacing=None,
                    ImagerPixelSpacing=None,
                ),
                PLACE,
            )
        ],
        [],
        1,
    ),
    "nothing present": ([_of(source_image(), {}, remarks=("The view is unknown.",))], [], 1),
    "present without a place, untrained": ([_of(source_image(), {"edema": [], "cardiomegaly": []}, UNTRAINED)], [], 1),
    "two images, a skipped one, a second revision": (
        [
            _of(source_image(), PLACE),
            _of(
                source_image(
                    SOPInstanceUID="1.2.826.0.1.3680043.2.1143.1.6",
                    PatientOrientation=["R", "F"],
                ),
                {"cardiomegaly": [(7, 5, 4, 5)]},
            ),
        ],
        [LATERAL],
        2,
    ),
    "Japanese name, 16 bit": (
        [
            _of(
                source_image(
                    SpecificCharacterSet=["", "ISO 2022 IR 87"],
                    PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
                    BitsStored=16,
                    HighBit=15,
                ),
                PLACE,
            )
        ],
        [],
        1,
    ),
}


def _bare_source() -> Dataset:
    """The least that a node accepts, and some values that break their VR."""
    source = Dataset()
    source.SOPClassUID, source.SOPInstanceUID = SC, "1.2.826.0.1.3680043.2.1143.2.4"
    source.StudyInstanceUID, source.SeriesInstanceUID = (
        "1.2.826.0.1.3680043.2.1143.2.1",
        "1.2.826.0.1.3680043.2.1143.2.2",
    )
    source.Modality, source.Rows, source.Columns = "DX", 64, 48
    return source


def _broken_source() -> Dataset:
    source = _bare_source()
    source.SOPInstanceUID += "1"
    source.PixelSpacing, source.PatientOrientation = [0, 0], None
    with pytest.warns(UserWarning, match="Invalid value"):
        source.PatientAge, source.StudyDate, source.PatientSex = "81", "1995.07.20", "female"
    source.SpecificCharacterSet = "ISO_IR 100"
    source.PatientIdentityRemoved = "YES"
    return source


for _name, _source in (("hardly an attribute", _bare_source()), ("values that break their VR", _broken_source())):
    STUDIES[_name] = ([_of(_source, PLACE, UNTRAINED, select(_source).remarks)], [], 1)


def _of_a_model_that_misses(present: Mapping[str, Sequence[tuple[int, int, int, int]]]) -> AnalysedImage:
    """Whatever is not present was not seen: with a sensitivity, without one, or since another could explain it."""
    image = _of(source_image(), present)
    missed = (
        not_seen("pleural_effusion", MISSES_MANY, ("nodule_mass",)),
        not_seen("edema", MISSES_MANY),
        not_seen("pneumothorax"),
    )
    others = {finding.key: finding for finding in missed}
    items = tuple(
        finding if finding.key in present else others.get(finding.key, finding) for finding in image.findings.items
    )
    return replace(image, findings=replace(image.findings, items=items))


STUDIES["not seen, beside a finding"] = ([_of_a_model_that_misses(PLACE)], [], 1)
STUDIES["not seen, and nothing present"] = ([_of_a_model_that_misses({})], [], 1)


CHARACTER_SETS: dict[str, tuple[str | list[str] | None, str]] = {
    "none": (None, "Muster^Anna"),
    "ISO_IR 6": ("ISO_IR 6", "Muster^Anna"),
    "ISO 2022 IR 87": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "ISO 2022 IR 149": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "ISO 2022 IR 100": (["", "ISO 2022 IR 100"], "Muster^Anna"),
    "ISO_IR 100": ("ISO_IR 100", "Müller^Jörg"),
}
"""Of sources, each with a name in it. German and French need letters that the first five lack."""

Built = dict[str, list[tuple[ResultKind, Path]]]


def _write(
    folder: Path,
    name: str,
    images: list[AnalysedImage],
    skipped: list[SkippedImage],
    revision: int,
    variants: Sequence[ResultVariant] = EVERYTHING,
) -> list[tuple[ResultKind, Path]]:
    earlier = _reports_before(images, skipped, revision)
    context = result_context(revision, tuple(_predecessor(report) for report in earlier))
    styles = {variant.picture for variant in variants if variant.picture}
    pictured = [with_overlay(image, *styles) for image in images]
    written = []
    for number, (variant, dataset) in enumerate(build_results(pictured, skipped, context, variants)):
        path = folder / f"{name.replace(' ', '_').replace(',', '')}-{number}-{variant.kind.value}.dcm"
        path.write_bytes(encode(dataset))
        written.append((variant.kind, path))
    return written


def _reports_before(images: list[AnalysedImage], skipped: list[SkippedImage], revision: int) -> list[Dataset]:
    return [object_of(ResultKind.SR, images, skipped, result_context(number)) for number in range(1, revision)]


def _predecessor(report: Dataset) -> Predecessor:
    return Predecessor(ResultKind.SR, report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("validators")
    return {name: _write(folder, name, *study) for name, study in STUDIES.items()}


@pytest.fixture(scope="session")
def built_in_languages(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Results in other languages, of images in every character set."""
    folder, results = tmp_path_factory.mktemp("validators-languages"), Built()
    for language, (character_set, (terms, name)) in product(OTHERS, CHARACTER_SETS.items()):
        image = analysed(LUNGS, SpecificCharacterSet=terms, PatientName=name)
        variants = [replace(variant, language=language) for variant in EVERYTHING]
        key = f"{language} {character_set}"
        results[key] = _write(folder, key, [image], [LATERAL], 1, variants)
    return results


@pytest.fixture(scope="session")
def built_of_real(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Results for the real DICOM files; empty where this run has none."""
    data = os.environ.get("PATCHCLIP_TEST_DATA")
    folder = tmp_path_factory.mktemp("validators-real")
    results: Built = {}
    for path in sorted(Path(data, "dicom").glob("*.dcm")) if data else ():
        source = read_dataset(path)
        image = analysed_source(source, PLACE, UNTRAINED, select(source).remarks)
        results[path.name] = _write(folder, path.stem, [image], [], 1)
    return results


@pytest.fixture(scope="session")
def miscoded_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that breaks TID 1500: the procedure that it reports is not in CID 100."""
    report = object_of(ResultKind.SR, [analysed(PLACE)])
    procedure = next(
        item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Procedure reported"
    )
    procedure.ConceptCodeSequence[0].CodeValue = "399208008"
    path = tmp_path_factory.mktemp("miscoded") / "report.dcm"
    path.write_bytes(encode(report))
    return path


def _documents(results: list[tuple[ResultKind, Path]]) -> dict[Path, str]:
    """Document -> the template that it follows; a report without a region, and so without a segmentation, is a page."""
    templates = TEMPLATES if ResultKind.SEG in dict(results) else TEMPLATES | {ResultKind.SR: PAGE}
    return {path: templates[kind] for kind, path in results if kind in templates}


@pytest.fixture(scope="session")
def template_errors(built: Built, built_of_real: Built, miscoded_report: Path) -> dict[Path, list[str]]:
    documents = {
        path: template
        for results in (*built.values(), *built_of_real.values())
        for path, template in _documents(results).items()
    }
    return sr_template_errors(documents | {miscoded_report: MEASUREMENT_REPORT})


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("version", DICOM3TOOLS)
@pytest.mark.parametrize("name", STUDIES)
def test_dciodvfy_finds_no_error_in_any_object(name: str, version: str, built: Built) -> None:
    errors = {path.name: dciodvfy_errors(path, version) for _, path in built[name]}

    assert errors == {path.name: [] for _, path in built[name]}


def test_every_kind_of_result_is_among_those_that_are_validated(built: Built) -> None:
    assert {kind for results in built.values() for kind, _ in results} == set(ResultKind)
    assert [kind for kind, _ in built["CR with findings"]].count(ResultKind.SEG) == len(PlaneGeometry)


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("character_set", CHARACTER_SETS)
@pytest.mark.parametrize("language", OTHERS)
def test_dciodvfy_finds_no_error_in_other_languages_whatever_the_character_set_of_the_source(
    language: str, character_set: str, built_in_languages: Built
) -> None:
    paths = [path for _, path in built_in_languages[f"{language} {character_set}"]]

    assert {path.name: dciodvfy_errors(path) for path in paths} == {path.name: [] for path in paths}


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("character_set", CHARACTER_SETS)
@pytest.mark.parametrize("language", OTHERS)
def test_dcmtk_reads_every_document_in_other_languages_whatever_the_character_set_of_the_source(
    language: str, character_set: str, built_in_languages: Built
) -> None:
    """As UTF-8, which fails where a byte is none of the character set that the document declares."""
    name = CHARACTER_SETS[character_set][1]
    documents = {kind: path for kind, path in built_in_languages[f"{language} {character_set}"] if kind in TEMPLATES}

    read = {kind: sr_text(path) for kind, path in documents.items()}

    assert set(read) == set(TEMPLATES)
    for kind, said in read.items():
        assert {"de": ": vorhanden (", "fr": " : présent ("}[language] in said, kind
        assert name in said.replace("^^^", ""), kind


@pytest.mark.peer("pixelmed")
@pytest.mark.parametrize("name", STUDIES)
def test_the_template_checker_finds_no_error_in_any_document(
    name: str, built: Built, template_errors: dict[Path, list[str]]
) -> None:
    documents = {kind: path for kind, path in built[name] if kind in TEMPLATES}

    assert {ResultKind.SR, ResultKind.TEXT_SR} <= set(documents)
    assert {kind: template_errors[path] for kind, path in documents.items()} == {kind: [] for kind in documents}


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("version", DICOM3TOOLS)
@pytest.mark.parametrize("name", [name for name in STUDIES if name != "values that break their VR"])
def test_results_agree_with_their_source_about_patient_and_study(
    name: str, version: str, built: Built, tmp_path: Path
) -> None:
    sources = []
    for number, image in enumerate(STUDIES[name][0]):
        source = copy.deepcopy(SOURCES[image.facts])
        source.file_meta = FileMetaDataset()
        source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = tmp_path / f"{number}.dcm"
        source.save_as(path, enforce_file_format=True)
        sources.append(path)

    for report in _reports_before(*STUDIES[name]):
        sources.append(tmp_path / f"{report.SOPInstanceUID}.dcm")
        sources[-1].write_bytes(encode(report))

    errors = dcentvfy_errors([*sources, *(path for _, path in built[name])], version)

    assert errors == []


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_the_sample_studies() -> None:
    samples = sorted(Path(str(files("patchclip_node.samples"))).glob("*.dcm"))

    assert {path.name: dciodvfy_errors(path) for path in samples} == {path.name: [] for path in samples}
    assert dcentvfy_errors(samples) == []


@pytest.mark.peer("dciodvfy")
@pytest.mark.real_data
@pytest.mark.parametrize("version", DICOM3TOOLS)
def test_dciodvfy_finds_no_error_in_the_results_of_real_files(version: str, built_of_real: Built) -> None:
    errors = {path.name: dciodvfy_errors(path, version) for results in built_of_real.values() for _, path in results}

    assert errors
    assert not {name: lines for name, lines in errors.items() if lines}


@pytest.mark.peer("pixelmed")
@pytest.mark.real_data
def test_the_template_checker_finds_no_error_in_the_documents_of_real_files(
    built_of_real: Built, template_errors: dict[Path, list[str]]
) -> None:
    errors = {
        (name, kind): template_errors[path]
        for name, results in built_of_real.items()
        for kind, path in results
        if kind in TEMPLATES
    }

    assert errors
    assert not {name: lines for name, lines in errors.items() if lines}


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_would_find_a_missing_attribute(tmp_path: Path) -> None:
    report = object_of(ResultKind.SR, [analysed(PLACE)])
    del report.CompletionFlag
    path = tmp_path / "report.dcm"
    path.write_bytes(encode(report))

    assert any("CompletionFlag" in line for line in dciodvfy_errors(path))


@pytest.mark.peer("pixelmed")
def test_the_template_checker_would_find_a_code_that_does_not_belong(
    template_errors: dict[Path, list[str]], miscoded_report: Path
) -> None:
    assert any("not found in context group 100" in line for line in template_errors[miscoded_report])
