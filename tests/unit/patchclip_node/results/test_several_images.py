"""A study of several images: all that is said of one names it by the same number, and says which one that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results import build_results, numbered
from patchclip_node.results.facts import AnalysedImage
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from tests.support.content import items
from tests.support.synthetic import TRAINED, UNTRAINED, analysed, result_context, with_overlay

SECOND = "1.2.826.0.1.3680043.2.1143.1.9"
OF_AN_IMAGE = [kind for kind in ResultKind if kind not in {ResultKind.SR, ResultKind.TEXT_SR, ResultKind.KO}]


def two_images() -> list[AnalysedImage]:
    """One without a finding, and one with an opacity and an edema without a place."""
    first = analysed(
        {}, SeriesNumber=3, InstanceNumber=7, ViewPosition="PA", AcquisitionTime="101213.5", ContentTime="101500"
    )
    second = analysed(
        {"opacity": [(3, 3, 3, 3)], "edema": []},
        SOPInstanceUID=SECOND,
        SeriesNumber=3,
        InstanceNumber=8,
        ViewPosition="AP",
        ContentTime="101500",
    )
    return [first, second]


def built(kind: ResultKind, images: list[AnalysedImage], language: str = "en") -> list[Dataset]:
    variant = ResultVariant.usual(kind, language)
    drawn = [with_overlay(image) for image in images] if kind is ResultKind.SC else images
    return [dataset for _, dataset in build_results(drawn, [], result_context(), [variant])]


def said(document: Dataset) -> str:
    """All sentences of a report or of key objects."""
    names = ("Comment", "Summary", "Findings", "Key Object Description")
    return "\n".join(item.TextValue for name in names for item in items(document, name) if item.ValueType == "TEXT")


@pytest.mark.parametrize("kind", [ResultKind.SR, ResultKind.TEXT_SR, ResultKind.KO])
@pytest.mark.parametrize(
    ("language", "first", "second", "finding"),
    [
        ("en", "Image 1: PA, series 3, image 7, 10:12", "Image 2: AP, series 3, image 8, 10:15", "lung opacity"),
        ("de", "Bild 1: PA, Serie 3, Bild 7, 10:12", "Bild 2: AP, Serie 3, Bild 8, 10:15", "Lungenverschattung"),
    ],
)
def test_a_document_says_which_image_each_number_means(
    kind: ResultKind, language: str, first: str, second: str, finding: str
) -> None:
    (document,) = built(kind, two_images(), language)

    number, _, _ = second.partition(":")
    assert first in said(document)
    assert second in said(document)
    assert f"{number}: {finding}: " in said(document)


@pytest.mark.parametrize("kind", OF_AN_IMAGE)
def test_a_result_of_one_image_has_its_number_in_the_name_and_the_number_of_its_series(kind: ResultKind) -> None:
    of_second = [dataset for dataset in built(kind, two_images()) if dataset.SeriesDescription.startswith("Image 2: ")]

    (dataset,) = of_second
    assert dataset.SeriesNumber % 100 == 2
    assert SECOND in {str(element.value) for element in dataset.iterall() if element.VR == "UI"}


def test_the_number_of_an_image_is_the_one_in_findings_json() -> None:
    images = numbered(two_images())
    documented = [DocumentedImage("a.dcm", "1.2", "1.3", image.facts.sop_instance_uid, image) for image in images]

    entries = findings_document(documented, load_findings(), TRAINED)["images"]

    assert [(entry["sop_instance_uid"], entry["number"]) for entry in entries] == [
        (images[0].facts.sop_instance_uid, 1),
        (SECOND, 2),
    ]


@pytest.mark.parametrize("attributes", [{}, {"SeriesNumber": 3, "InstanceNumber": 1}])
def test_images_that_their_headers_do_not_tell_apart_are_named_by_their_uids(attributes: dict[str, Any]) -> None:
    images = [analysed({}, **attributes), analysed({}, SOPInstanceUID=SECOND, **attributes)]

    (report,) = built(ResultKind.SR, images)

    for number, image in enumerate(images, 1):
        assert any(
            line.startswith(f"Image {number}: ") and line.endswith(f"UID {image.facts.sop_instance_uid}")
            for line in said(report).splitlines()
        )


def test_the_only_image_of_a_study_has_no_number() -> None:
    image = analysed({"opacity": [(3, 3, 3, 3)]}, InstanceNumber=7)

    results = [dataset for kind in ResultKind for dataset in built(kind, [image])]

    assert len(results) == len(ResultKind)
    assert not [dataset for dataset in results if "Image 1" in str(dataset)]


def test_a_long_name_of_a_series_still_says_at_its_end_what_the_model_is() -> None:
    images = [
        replace(image, findings=replace(image.findings, model=UNTRAINED))
        for image in (analysed({}), analysed({"opacity": [(3, 3, 3, 3)]}, SOPInstanceUID=SECOND))
    ]
    variant = ResultVariant(ResultKind.GSPS, series_description="A" * 40)

    ((_, state),) = build_results(images, [], result_context(), [variant])

    assert len(state.SeriesDescription) == 64
    assert state.SeriesDescription.startswith("Image 2: AAA")
    assert state.SeriesDescription.endswith("A, UNTRAINED MODEL")
