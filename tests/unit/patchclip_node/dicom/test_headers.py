from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from structlog.testing import capture_logs

from patchclip_node.dicom.headers import read_dataset, read_header
from patchclip_node.dicom.storage import COMPUTED_RADIOGRAPHY, RESULT_SOP_CLASSES, SECONDARY_CAPTURE
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.records import Priority
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME
from tests.support.headers import chest_image

Write = Callable[..., Path]


def test_a_header_holds_what_the_node_decides_by(write: Write) -> None:
    header = read_header(
        write(chest_image(PatientID="P1", PatientName="Doe^Jane", AccessionNumber="A1", StudyDescription="Chest PA"))
    )

    assert header.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1"
    assert (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid) == (
        "1.2.3.4",
        "1.2.3.1",
        "1.2.3.2",
    )
    assert header.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert (header.patient_id, header.patient_name, header.accession_number) == ("P1", "Doe^Jane", "A1")
    assert (header.study_description, header.modality) == ("Chest PA", "CR")
    assert (header.priority, header.issued_by_product) == (Priority.ROUTINE, False)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_a_file_without_preamble_and_meta_information_is_read(write: Write, syntax: str) -> None:
    header = read_header(write(chest_image(PatientID="P1"), syntax, bare=True))

    assert header.patient_id == "P1"
    assert header.transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("ISO_IR 127", "قباني^لنزار"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_patient_name_is_read_in_its_character_set(write: Write, character_set: str | list[str], name: str) -> None:
    header = read_header(write(chest_image(SpecificCharacterSet=character_set, PatientName=name)))

    assert header.patient_name == name


@pytest.mark.parametrize(
    ("term", "priority"),
    [
        ("STAT", Priority.STAT),
        ("HIGH", Priority.HIGH),
        ("ROUTINE", Priority.ROUTINE),
        ("MEDIUM", Priority.ROUTINE),
        ("LOW", Priority.LOW),
        ("stat ", Priority.STAT),
        ("SOON", Priority.ROUTINE),
    ],
)
def test_the_requested_procedure_priority_is_read(write: Write, term: str, priority: Priority) -> None:
    assert read_header(write(chest_image(RequestedProcedurePriority=term))).priority is priority


def test_a_priority_in_the_request_attributes_counts(write: Write) -> None:
    request = Dataset()
    request.RequestedProcedurePriority = "STAT"

    assert read_header(write(chest_image(RequestAttributesSequence=[request]))).priority is Priority.STAT


@pytest.mark.parametrize(
    ("sop_class_uid", "is_own"),
    [*((uid, True) for uid in (SECONDARY_CAPTURE, *RESULT_SOP_CLASSES)), (COMPUTED_RADIOGRAPHY, False)],
)
def test_an_instance_that_this_product_made_is_recognised(write: Write, sop_class_uid: str, is_own: bool) -> None:
    foreign, own = Dataset(), Dataset()
    foreign.Manufacturer, foreign.ManufacturerModelName = "Somebody", "Something"
    own.Manufacturer, own.ManufacturerModelName = MANUFACTURER, PRODUCT_NAME

    for equipment, expected in (([foreign], False), ([foreign, own], is_own)):
        image = chest_image(SOPClassUID=sop_class_uid, ContributingEquipmentSequence=equipment)
        assert read_header(write(image)).issued_by_product is expected


@pytest.mark.parametrize(
    ("keyword", "named"),
    [
        ("SOPClassUID", r"SOP Class UID \(0008,0016\)"),
        ("SOPInstanceUID", r"SOP Instance UID \(0008,0018\)"),
        ("StudyInstanceUID", r"Study Instance UID \(0020,000D\)"),
        ("SeriesInstanceUID", r"Series Instance UID \(0020,000E\)"),
    ],
)
def test_a_missing_uid_is_named(write: Write, keyword: str, named: str) -> None:
    path = write(chest_image(**{keyword: None}), bare=True)

    with pytest.raises(UnreadableInstanceError, match=named):
        read_header(path)
    with pytest.raises(UnreadableInstanceError, match=named):
        read_dataset(path)


def test_a_uid_that_could_be_a_path_is_refused(write: Write) -> None:
    path = write(chest_image(), bare=True)
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4", b"../../x"))

    with pytest.raises(UnreadableInstanceError, match="is not a UID"):
        read_header(path)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("characters", [65, 66, 200])
def test_a_uid_that_is_too_long_is_called_too_long(write: Write, keyword: str, characters: int) -> None:
    path = write(chest_image(**{keyword: "1." + "2" * (characters - 2)}), bare=True)

    with pytest.raises(UnreadableInstanceError, match=f"is too long: {characters} characters, a UID has at most 64"):
        read_header(path)


def test_a_uid_of_64_characters_is_taken(write: Write) -> None:
    uid = "1." + "2" * 62

    assert read_header(write(chest_image(SOPInstanceUID=uid), bare=True)).sop_instance_uid == uid


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "AccessionNumber", "StudyDescription"])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\x00", "\x07", "\x0b", "\x7f", "\u0085", "\u2028", "\u202e"])
def test_no_control_character_passes_into_what_pages_show(write: Write, keyword: str, between: str) -> None:
    header = read_header(write(chest_image(SpecificCharacterSet="ISO_IR 192", **{keyword: f"a{between}b"})))

    seen = (header.patient_name, header.patient_id, header.accession_number, header.study_description)
    assert [value.split() for value in seen if value] == [["a", "b"]]
    assert all(value.isprintable() for value in seen)


@pytest.mark.parametrize("uid", [b"1..2.3.", b".1.2.34", b".......", b"1.2.3.."])
def test_what_breaks_the_rules_of_uids_is_refused(write: Write, uid: bytes) -> None:
    path = write(chest_image(), bare=True)
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4", uid))

    with pytest.raises(UnreadableInstanceError, match="is not a UID"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\x89PNG\r\n\x1a\n" + bytes(200), bytes(128) + b"DICM"])
def test_what_is_no_dicom_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(UnreadableInstanceError, match="file"):
        read_header(path)


def test_a_deflated_dataset_is_refused_before_it_inflates(write: Write) -> None:
    path = write(chest_image(StudyDescription="x"), DeflatedExplicitVRLittleEndian)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(compressor.compress(bytes(1024**2)) for _ in range(50)) + compressor.flush()
    path.write_bytes(path.read_bytes() + bomb)

    with pytest.raises(UnreadableInstanceError, match=r"transfer syntax Deflated .* \(1\.2\.840\.10008\.1\.2\.1\.99\)"):
        read_header(path)


def test_a_missing_file_is_not_an_unreadable_instance(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone")


def test_a_dataset_is_read_without_pixels_and_private_elements(write: Write) -> None:
    image = chest_image(PixelData=bytes(64), BitsAllocated=16, StudyDescription="Chest")
    image.private_block(0x0011, "SOMEBODY", create=True).add_new(1, "OB", bytes(16))

    dataset = read_dataset(write(image))

    assert "PixelData" not in dataset
    assert all(not element.tag.is_private for element in dataset)
    assert dataset.StudyDescription == "Chest"


def test_an_element_that_cannot_be_decoded_is_left_out(write: Write) -> None:
    path = write(chest_image(ExposuresOnPlate=7))
    path.write_bytes(path.read_bytes().replace(b"US\x02\x00\x07\x00", b"US\x03\x00\x07\x00\x00"))

    dataset = read_dataset(path)

    assert "ExposuresOnPlate" not in dataset
    assert dataset.Rows == 2500


def test_the_log_names_what_was_left_out_of_an_image_once_and_no_value(write: Write) -> None:
    order = Dataset()
    order.ScheduledProcedureStepID, order.PregnancyStatus = "S1", 4
    path = write(chest_image(PatientName="Doe^Jane", ExposuresOnPlate=7, RequestAttributesSequence=[order]))
    damaged = path.read_bytes().replace(b"US\x02\x00\x07\x00", b"US\x03\x00\x07\x00\x00")
    path.write_bytes(damaged.replace(b"US\x02\x00\x04\x00", b"XX\x02\x00\x04\x00"))

    with capture_logs() as lines:
        read_header(path)
        read_dataset(path)

    assert lines == [
        {
            "event": "elements that cannot be decoded were left out",
            "log_level": "warning",
            "sop_instance_uid": "1.2.3.4",
            "elements": ["(0018,1404)", "(0040,0275) (0010,21C0)"],
        }
    ]


def test_an_image_of_which_everything_can_be_read_leaves_no_line_in_the_log(write: Write) -> None:
    path = write(chest_image(ExposuresOnPlate=7))

    with capture_logs() as lines:
        read_dataset(path)

    assert lines == []


def test_values_that_break_their_vr_are_read_without_a_warning(write: Write) -> None:
    path = write(chest_image(PatientAge="081Y", StudyDate="20010203"))
    path.write_bytes(path.read_bytes().replace(b"081Y", b"81  ").replace(b"20010203", b"2001.2.3"))

    dataset = read_dataset(path)

    assert dataset.PatientAge == "81"
    assert dataset.StudyDate == "2001.2.3"
