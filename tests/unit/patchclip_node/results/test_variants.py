"""The same findings as destinations want them: other kinds, drawings, sizes, languages, numbers and names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from patchclip_core.values.definitions import load_findings
from patchclip_core.values.wording import load_wordings
from patchclip_node.dicom.select import select
from patchclip_node.domain.variants import Drawing, PictureStyle, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from patchclip_node.results.facts import SkippedImage
from tests.support.objects import object_of
from tests.support.synthetic import CR, TRAINED, analysed, result_context, source_image, with_overlay

LUNGS = {"opacity": [(3, 3, 3, 3)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}
STYLES = [PictureStyle(drawing, language) for drawing in Drawing for language in ("en", "de", "fr")]
STYLES.append(PictureStyle(longest_side_px=800))


def of_kind(kind: ResultKind, language: str = "en") -> ResultVariant:
    return ResultVariant.usual(kind, language)


def built(variant: ResultVariant, calibrated: bool = True) -> Dataset:
    image = with_overlay(
        analysed(LUNGS, replace(TRAINED, calibrated=calibrated), remarks=("The view is unknown.",)), *STYLES
    )
    ((_, dataset),) = build_results([image], [], result_context(), [variant])
    return dataset


def words(dataset: Dataset) -> str:
    """All text of an object but its Contributing Equipment, which is in English."""
    said = dcmread(BytesIO(encode(dataset)))
    del said.ContributingEquipmentSequence
    return "\n".join(
        str(element.value) for element in said.iterall() if element.VR in {"LO", "LT", "SH", "ST", "UC", "UT"}
    )


def test_variants_of_one_kind_are_objects_and_series_of_their_own() -> None:
    variants = [
        ResultVariant(ResultKind.SC),
        ResultVariant(ResultKind.SC, drawing=Drawing.HEAT_MAP),
        ResultVariant(ResultKind.SC, longest_side_px=800),
        ResultVariant(ResultKind.SC, language="de"),
        ResultVariant(ResultKind.SC, series_number=77),
        ResultVariant(ResultKind.SC, series_description="mine"),
    ]

    made = [built(variant) for variant in variants]

    assert len({dataset.SOPInstanceUID for dataset in made}) == len(variants)
    assert len({dataset.SeriesInstanceUID for dataset in made}) == len(variants)
    assert len({variant.key for variant in variants}) == len(variants)
    assert variants[0].key == "sc"


def test_a_series_has_the_number_and_the_name_that_the_profile_gives_it() -> None:
    study = built(ResultVariant(ResultKind.SR, series_number=700, series_description="Chest AI"))
    image = built(ResultVariant(ResultKind.GSPS, series_number=700, series_description="Chest AI"))

    assert (study.SeriesNumber, image.SeriesNumber) == (701, 801)
    assert study.SeriesDescription == image.SeriesDescription == "Chest AI (research)"


def test_a_picture_has_the_size_that_the_profile_gives_it() -> None:
    style = PictureStyle(longest_side_px=800)
    image = with_overlay(analysed(LUNGS), style)

    capture = object_of(ResultVariant(ResultKind.SC, longest_side_px=800), image)

    assert 795 <= max(capture.Rows, capture.Columns) <= 800


@pytest.mark.parametrize("kind", [ResultKind.SR, ResultKind.TEXT_SR])
@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "the view is lateral (LL); only frontal views (PA, AP) are analysed"),
        ("de", "die Projektion ist lateral (LL); nur frontale Aufnahmen (PA, AP) werden untersucht"),
        ("fr", "l'incidence est lateral (LL) ; seules les incidences de face (PA, AP) sont analysées"),
    ],
)
def test_a_report_says_in_its_language_why_an_image_was_left_out(kind: ResultKind, language: str, said: str) -> None:
    reason = select(source_image(ViewPosition="LL")).reason
    assert reason is not None
    left_out = SkippedImage(CR, "1.2.3.9", reason)

    ((_, report),) = build_results([analysed(LUNGS)], [left_out], result_context(), [of_kind(kind, language)])

    assert f": {said}" in words(report)


def pixels(variant: ResultVariant) -> np.ndarray[tuple[int, ...], np.dtype[np.int_]]:
    return built(variant).pixel_array.astype(int)


def test_a_heat_map_fills_a_place_that_a_contour_surrounds() -> None:
    colour = np.array(load_findings()["opacity"].colour_rgb)
    (region,) = analysed(LUNGS).findings["opacity"].regions
    contour, heat = (pixels(ResultVariant(ResultKind.SC, drawing=drawing)) for drawing in Drawing)
    scale = contour.shape[0] / 500 * (400 / 400)
    y, x = int((region.y + region.h / 2) * scale), int((region.x + region.w / 2) * scale)

    def of_colour(picture: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> float:
        """How far the place leans from grey towards the colour."""
        place = picture[y - 10 : y + 10, x - 10 : x + 10].mean(axis=(0, 1))
        return float((place - place.mean()) @ (colour - colour.mean()) / np.sum((colour - colour.mean()) ** 2))

    assert abs(of_colour(contour)) < 0.05
    assert of_colour(heat) > 0.3


@pytest.mark.parametrize("kind", [kind for kind in ResultKind if kind is not ResultKind.SC])
@pytest.mark.parametrize("language", ["de", "fr"])
def test_an_object_speaks_the_language_of_its_profile_and_keeps_its_codes(kind: ResultKind, language: str) -> None:
    english, other = built(of_kind(kind)), built(of_kind(kind, language))
    names = load_findings()

    assert names["pleural_effusion"].names[language] in words(other)
    assert "pleural effusion" not in words(other)
    assert codes(other) == codes(english)
    research = load_wordings()[language].say("{what} (research)", what="")
    assert other.SeriesDescription.endswith(research)


def codes(dataset: Dataset) -> list[tuple[str, str]]:
    """Every code with its scheme, but for the language that a report is in."""
    return [
        (item.CodeValue, item.CodingSchemeDesignator)
        for item in _items(dataset)
        if "CodeValue" in item and item.CodingSchemeDesignator != "RFC5646"
    ]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_a_report_says_which_language_it_is_in(language: str) -> None:
    for kind in (ResultKind.SR, ResultKind.TEXT_SR):
        said = [item.CodeValue for item in _items(built(of_kind(kind, language))) if "CodeValue" in item]
        assert language in said
        assert "en" not in said


def test_a_picture_in_another_language_is_another_picture() -> None:
    english, german = (pixels(ResultVariant(ResultKind.SC, language=language)) for language in ("en", "de"))

    assert english.shape[1] == german.shape[1]  # words of another length take more or fewer lines
    assert (english[:200] != german[:200]).any()


@pytest.mark.parametrize("kind", [kind for kind in ResultKind if kind is not ResultKind.SC])
@pytest.mark.parametrize("calibrated", [True, False])
def test_every_object_says_its_uncertainty(kind: ResultKind, calibrated: bool) -> None:
    """Calibrated or not, verdict or operating point, what the weights were trained on, research use."""
    dataset = built(of_kind(kind), calibrated)

    said = words(dataset)
    equipment = dataset.ContributingEquipmentSequence[-1].ContributionDescription
    if kind in {ResultKind.GSPS, ResultKind.KO}:  # no room for numbers: the verdict stands there in words
        assert "lung opacity: present" in said
    else:
        assert "50 %" in said or "0.500" in said
    assert ("not calibrated" in equipment) is not calibrated
    assert "training data: none, a test" in equipment
    if kind is not ResultKind.PARAMETRIC_MAP:
        assert "Not for diagnosis" in said
        assert ("calibrated on images like those the weights were trained on; elsewhere" in said) is calibrated
        assert ("The probabilities are not calibrated." in said) is not calibrated
    if kind not in {ResultKind.PARAMETRIC_MAP, ResultKind.GSPS}:
        assert "The weights were trained on: none, a test." in said
    assert "not for diagnosis" in said.lower()
    assert "research" in dataset.SeriesDescription


@pytest.mark.parametrize("kind", [ResultKind.SR, ResultKind.TEXT_SR, ResultKind.GSPS])
def test_what_could_not_be_judged_and_what_the_image_is_like_is_said(kind: ResultKind) -> None:
    said = words(built(of_kind(kind)))

    short = kind is ResultKind.GSPS  # its words lie over the image
    assert ("Not evaluated: rib fracture" if short else "rib fracture: not evaluated; the model has no head") in said
    assert "The view is unknown." in said


@pytest.mark.parametrize("kind", [ResultKind.SR, ResultKind.TEXT_SR])
def test_a_report_says_what_was_looked_for(kind: ResultKind) -> None:
    assert "Looked for, and nothing else: lung opacity, pleural effusion," in words(built(of_kind(kind)))


@pytest.mark.parametrize("kind", list(ResultKind))
@pytest.mark.parametrize("keyword", ["PatientAge", "StudyDescription", "PatientName", "AccessionNumber", "StudyID"])
def test_every_kind_of_object_keeps_the_context_of_its_patient_and_study(kind: ResultKind, keyword: str) -> None:
    assert built(of_kind(kind))[keyword].value == source_image()[keyword].value


@pytest.mark.parametrize("kind", [ResultKind.SEG, ResultKind.SC, ResultKind.GSPS, ResultKind.PARAMETRIC_MAP])
def test_the_series_of_an_image_result_says_which_body_part_it_shows(kind: ResultKind) -> None:
    assert built(of_kind(kind)).BodyPartExamined == "CHEST"
