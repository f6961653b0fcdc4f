from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from patchclip_node.dicom.headers import issued_by_product
from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.product import IMPLEMENTATION_CLASS_UID
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


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = (
        [encode(dataset) for _, dataset in build_results([analysed(LUNGS)], [], result_context())] for _ in range(2)
    )

    assert len(one) == 2
    assert one == two


def test_no_uid_is_random() -> None:
    image = analysed(LUNGS)

    uids = [
        [str(element.value) for element in dataset.iterall() if element.VR == "UI"]
        for _ in range(2)
        for _, dataset in build_results([image], [], result_context())
    ]

    assert uids[:2] == uids[2:]


def test_an_encoded_result_is_a_complete_file_that_names_this_product() -> None:
    for _, dataset in build_results([analysed(LUNGS)], [], result_context()):
        content = encode(dataset)
        read = dcmread(BytesIO(content))
        assert content[128:132] == b"DICM"
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
        assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert issued_by_product(read)


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "StudyInstanceUID",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
    ],
)
def test_every_result_is_in_the_context_of_its_patient_and_study(keyword: str) -> None:
    image = analysed(LUNGS)

    for _, dataset in build_results([image], [], result_context()):
        assert dataset[keyword].value == source_image()[keyword].value


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
    assert any("手" in item.TextValue for item in items(report, "Finding"))


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


def test_results_need_no_torch() -> None:
    program = "import patchclip_node.results, patchclip_core.drawing, sys; assert 'torch' not in sys.modules"

    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
