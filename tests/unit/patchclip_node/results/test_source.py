"""The facts of a source: what is repaired, what is left out, what is kept as it is."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from tests.support.objects import object_of
from tests.support.synthetic import analysed, analysed_source, result_context, source_image, with_overlay

LUNGS = {"opacity": [(3, 3, 3, 3)], "cardiomegaly": [(7, 5, 4, 5)]}


def reread(dataset: Dataset) -> Dataset:
    return dcmread(BytesIO(encode(dataset)))


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("StudyDate", "1995.07.20", "19950720"),
        ("StudyTime", "11:22:07", "112207"),
        ("PatientAge", "81", "081Y"),
        ("PatientAge", "old", ""),
        ("PatientSex", "female", ""),
        ("StudyDate", "yesterday", ""),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_value_that_breaks_its_vr_is_repaired_or_left_out(keyword: str, value: str, kept: str) -> None:
    source = source_image(**{keyword: value})

    report = object_of(ResultKind.SR, [analysed_source(source)])

    assert (report.get(keyword) or "") == kept


def _code(value: str, scheme: str = "", meaning: str = "") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


@pytest.mark.parametrize(
    ("method", "codes", "removed"),
    [
        ("by hand", [], "YES"),
        (None, [_code("113100", "DCM", "Basic Application Confidentiality Profile")], "YES"),
        (None, [_code("113100")], None),
        (None, [], None),
    ],
)
def test_a_result_says_that_identity_was_removed_where_its_source_says_how(
    method: str | None, codes: list[Dataset], removed: str | None
) -> None:
    """PS3.3 C.7.1.1 wants a method, or its code, beside Patient Identity Removed."""
    image = analysed(
        {},
        PatientIdentityRemoved="YES",
        DeidentificationMethod=method,
        DeidentificationMethodCodeSequence=codes or None,
    )

    report = reread(object_of(ResultKind.SR, [image]))

    assert report.get("PatientIdentityRemoved") == removed
    kept = [code.CodeMeaning for code in report.get("DeidentificationMethodCodeSequence") or ()]
    assert kept == [code.CodeMeaning for code in codes if code.CodeMeaning]


@pytest.mark.parametrize(("keyword", "value"), [("AccessionNumber", "A" * 20), ("PatientID", "P" * 70)])
@pytest.mark.filterwarnings("ignore:The value length")
def test_what_results_are_matched_by_is_kept_even_where_it_is_too_long(keyword: str, value: str) -> None:
    source = source_image(**{keyword: value})

    for _, dataset in build_results([analysed_source(source, LUNGS)], [], result_context()):
        assert reread(dataset)[keyword].value == value


def test_a_source_with_hardly_an_attribute_is_enough() -> None:
    attributes: dict[str, Any] = dict.fromkeys(
        [element.keyword for element in source_image() if element.keyword not in _NEEDED]
    )

    results = build_results([analysed(LUNGS, **attributes)], [], result_context())

    for _, dataset in results:
        assert "PatientID" in dataset
        assert not dataset.PatientID
        assert "StudyDate" in dataset
        assert not dataset.StudyDate
        assert [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in dataset.ContributingEquipmentSequence] == [
            "109102"
        ]


_NEEDED = {"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"}
EVERYTHING = [ResultVariant.usual(kind, language) for kind in ResultKind for language in ("de", "en")]
STYLES = (PictureStyle(), PictureStyle(language="de"))


def test_nothing_is_asked_of_a_source_after_its_facts_were_read() -> None:
    source = source_image()
    image = with_overlay(analysed_source(source, LUNGS), *STYLES)
    before = [encode(dataset) for _, dataset in build_results([image], [], result_context(), EVERYTHING)]

    source.clear()

    assert [encode(dataset) for _, dataset in build_results([image], [], result_context(), EVERYTHING)] == before
    assert len(before) == len(EVERYTHING)


def test_what_one_result_declares_of_its_text_changes_no_other() -> None:
    """A German result reads undeclared bytes again; the English one keeps them."""
    image = with_overlay(
        analysed({"opacity": [(3, 3, 3, 3)]}, SpecificCharacterSet=None, PatientName="MÃ¼ller"), *STYLES
    )
    alone = {
        variant: encode(dataset)
        for variant in EVERYTHING
        for _, dataset in build_results([image], [], result_context(), [variant])
    }

    together = build_results([image], [], result_context(), EVERYTHING)

    assert {variant: encode(dataset) for variant, dataset in together} == alone
    assert {str(dataset.PatientName) for _, dataset in together} == {"MÃ¼ller", "Müller"}
