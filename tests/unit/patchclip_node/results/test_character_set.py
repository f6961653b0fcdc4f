"""Specific Character Set: names come back in their bytes, and own words are declared."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from patchclip_node.results.facts import SkippedImage
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import (
    CR,
    analysed,
    analysed_source,
    result_context,
    source_image,
    with_overlay,
)

LUNGS = {"opacity": [(3, 3, 3, 3)], "cardiomegaly": [(7, 5, 4, 5)]}
KOREAN, JAPANESE = "Hong^Gildong=洪^吉洞=홍^길동", "Yamada^Tarou=山田^太郎=やまだ^たろう"


def reread(dataset: Dataset) -> Dataset:
    return dcmread(BytesIO(encode(dataset)))


def raw(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of an attribute as they are written."""
    element = dcmread(BytesIO(encode(dataset))).get_item(keyword)
    assert isinstance(element.value, bytes)
    return element.value


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], JAPANESE),
        (["", "ISO 2022 IR 87"], "Mihon^Ni=見本^二"),  # one of its bytes is that of a backslash
        (["", "ISO 2022 IR 149"], KOREAN),
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("ISO_IR 127", "قباني^لنزار"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_comes_back_in_the_bytes_and_the_character_set_of_its_source(
    character_set: str | list[str], name: str
) -> None:
    source = source_image(SpecificCharacterSet=character_set, PatientName=name)
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = analysed_source(reread(source), LUNGS)

    for _, dataset in build_results([image], [], result_context()):
        assert reread(dataset).SpecificCharacterSet == character_set
        assert str(reread(dataset).PatientName) == name
        assert raw(dataset, "PatientName") == raw(source, "PatientName")


def test_a_text_that_the_sources_character_set_cannot_write_turns_the_result_to_utf_8() -> None:
    image = analysed({}, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    skipped = SkippedImage(CR, "1.2.3.9", "Body Part Examined is 手, not the chest")

    report = reread(object_of(ResultKind.SR, [image], [skipped]))

    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == "Müller^Jörg"
    assert any("手" in item.TextValue for item in items(report, "Findings")[1:])


def test_a_source_without_a_character_set_keeps_its_bytes() -> None:
    source = source_image(SpecificCharacterSet=None, PatientName="Müller^Jörg")

    report = object_of(ResultKind.SR, [analysed_source(source)])

    assert "SpecificCharacterSet" not in report
    assert raw(report, "PatientName").strip() == "Müller^Jörg".encode("latin-1")


UNDECLARED = [None, "ISO_IR 6", ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], ["", "ISO 2022 IR 100"]]


@pytest.mark.parametrize("language", ["de", "fr"])
@pytest.mark.parametrize("character_set", UNDECLARED)
def test_what_a_result_says_itself_never_goes_out_in_bytes_that_its_character_set_does_not_have(
    character_set: str | list[str] | None, language: str
) -> None:
    image = with_overlay(analysed(LUNGS, SpecificCharacterSet=character_set), PictureStyle(language=language))
    variants = [ResultVariant.usual(kind, language) for kind in ResultKind]

    for variant, dataset in build_results([image], [], result_context(), variants):
        texts = [str(element.value) for element in dataset.iterall() if element.VR in CUSTOMIZABLE_CHARSET_VR]
        is_ascii = all(text.isascii() for text in texts)
        assert dataset.get("SpecificCharacterSet") == (character_set if is_ascii else "ISO_IR 192"), variant


@pytest.mark.parametrize(
    ("character_set", "name"), [(["", "ISO 2022 IR 87"], JAPANESE), (["", "ISO 2022 IR 149"], KOREAN)]
)
def test_a_name_in_another_script_survives_a_report_in_german(character_set: list[str], name: str) -> None:
    image = analysed(LUNGS, SpecificCharacterSet=character_set, PatientName=name)

    report = reread(object_of(ResultKind.SR, [image], language="de"))

    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == name


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_name_in_undeclared_bytes_is_read_as_what_they_are_where_a_report_must_declare_its_own(encoding: str) -> None:
    as_read = "Müller^Jörg".encode(encoding).decode("latin-1")
    source = source_image(SpecificCharacterSet=None, PatientName=as_read, OtherPatientIDs=[as_read, "A"])

    report = reread(object_of(ResultKind.SR, [analysed_source(source)], language="de"))

    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == "Müller^Jörg"
    assert list(report.OtherPatientIDs) == ["Müller^Jörg", "A"]


def test_an_unknown_character_set_is_not_passed_on() -> None:
    source = source_image(PatientName="Müller^Jörg")
    source.SpecificCharacterSet = "KLINGON"

    report = object_of(ResultKind.SR, [analysed_source(source)])

    assert report.SpecificCharacterSet == "ISO_IR 192"
