"""No header that a sender can write makes a study fail: each image has an outcome with a reason, its neighbour too."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import generate_uid

from patchclip_core.io.dicom import DISPLAY_KEYWORDS
from patchclip_core.io.selection import KEYWORDS
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import RejectedError, UnreadableInstanceError
from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.results import encode
from patchclip_node.services.analyse import Analysed, Rejected, StudyImage, StudyOutcome, analyse_instances
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.urgency import UrgencyQuota
from tests.peers.radiographs import radiograph
from tests.support.analysis import OpacityEverywhere
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.headers import with_raw_element, with_raw_elements
from tests.support.marked import InThisProcess
from tests.support.synthetic import result_context

THOROUGH_EXAMPLES = 10_000
STUDY = "1.2.3"
CR = "1.2.840.10008.5.1.4.1.1.1"
TAKEN_OVER = (
    *("SpecificCharacterSet", "PatientBirthDate", "PatientSex", "OtherPatientIDs", "PatientAge", "PatientSize"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "IssuerOfPatientID"),
    *("TimezoneOffsetFromUTC", "DeidentificationMethodCodeSequence", "PatientIdentityRemoved", "Laterality"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "SeriesNumber"),
    *("ContributingEquipmentSequence", "RequestAttributesSequence", "RequestedProcedurePriority", "InstanceNumber"),
    *("SeriesInstanceUID", "PatientName", "PatientID", "RescaleType", "FrameOfReferenceUID"),
)
READ = tuple(dict.fromkeys((*KEYWORDS, *DISPLAY_KEYWORDS, *TAKEN_OVER)))
"""Every element that receiver, selection, display and results read."""

IDENTITY = frozenset({"PatientName", "PatientID"})
"""What two images of one study must not differ in: there the whole study is refused, with a reason."""

VRS = tuple(
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()  # noqa: SIM905 - a list of words
)
VARIANTS = (ResultVariant(ResultKind.SR), ResultVariant(ResultKind.GSPS))
ONE_FINDING = OpacityEverywhere(finding_keys=("opacity",))
SMALL = PictureStyle(longest_side_px=256)
"""How much a report and a picture hold has nothing to do with headers, and costs most of the time."""


def image(**attributes: Any) -> Dataset:
    """A chest radiograph of 128 x 128 pixels or so, of one study."""
    dataset = radiograph(study_instance_uid=STUDY)
    dataset.SOPInstanceUID = generate_uid(None)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    del dataset.file_meta
    return dataset


def analysed(folder: Path, *contents: bytes) -> StudyOutcome:
    """Analyse files as the worker does; the pixels are decoded, the model is a fake."""
    images = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.dcm"
        path.write_bytes(content)
        images.append(StudyImage(path, CR, f"1.2.{number}"))
    outcome = analyse_instances(images, InThisProcess(), ONE_FINDING, result_context(), VARIANTS, SMALL)
    assert all(file.reason for file in outcome.skipped)
    if isinstance(outcome, Analysed):
        assert all(encode(result) for _, result in outcome.results)
    return outcome


def good() -> bytes:
    return with_raw_element(image(), "ImageComments", "LT", b"good")


def remarks(outcome: StudyOutcome) -> Iterator[str]:
    assert isinstance(outcome, Analysed)
    for file in outcome.images:
        yield from file.result.remarks
        yield from file.result.findings.remarks


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("ViewCodeSequence", "LO", b"lateral "),
        ("ViewCodeSequence", "UN", b"\x01\x02"),
        ("AnatomicRegionSequence", "SH", b"CHEST "),
        ("AnatomicRegionSequence", "US", b"\x01\x00"),
        ("VOILUTSequence", "DS", b"40\\400"),
        ("ModalityLUTSequence", "OB", b"\x00\x00"),
        ("NumberOfFrames", "IS", b"1\\1 "),
        ("NumberOfFrames", "IS", b"one "),
        ("NumberOfFrames", "DS", b"1.0\\2 "),
        ("NumberOfFrames", "OB", b"\x01\x00"),
        ("NumberOfFrames", "SQ", b""),
        ("NumberOfFrames", "LO", b"1 frame "),
        ("NumberOfFrames", "FD", bytes(3)),
        ("PixelPaddingValue", "US", b"\x01"),
        ("PixelPaddingValue", "SS", b"\x01\x02\x03"),
        ("PixelPaddingValue", "US", b"\x01\x00\x02\x00"),
        ("PixelPaddingRangeLimit", "US", b"\x01"),
        ("RescaleSlope", "DS", b"1,5 "),
        ("RescaleIntercept", "DS", b"0\\0 "),
        ("WindowCenter", "DS", b"mid "),
        ("WindowWidth", "US", b"\x01"),
        ("PixelSpacing", "DS", b"junk"),
        ("PixelSpacing", "DS", b"0.1 "),
        ("PatientOrientation", "OB", b"LF"),
        ("SpecificCharacterSet", "US", b"\x01\x00"),
        ("SpecificCharacterSet", "FD", bytes(8)),
        ("SpecificCharacterSet", "PN", b"ISO_IR 192"),
        ("SpecificCharacterSet", "CS", b"\x01\x00\x02\x00"),
    ],
)
def test_a_damaged_element_costs_itself_and_is_named(tmp_path: Path, keyword: str, vr: str, value: bytes) -> None:
    outcome = analysed(tmp_path, with_raw_element(image(), keyword, vr, value))

    assert any("Damaged elements of the header were left out" in remark for remark in remarks(outcome))


@pytest.mark.parametrize(
    ("keyword", "value", "name"),
    [
        ("PixelSpacing", b"nan\\nan ", "Pixel Spacing"),
        ("PixelSpacing", b"1e999\\1 ", "Pixel Spacing"),
        ("PixelSpacing", b"-1\\-1 ", "Pixel Spacing"),
        ("PixelSpacing", b"1e-30\\1e-30 ", "Pixel Spacing"),
        ("ImagerPixelSpacing", b"1e30\\1e30 ", "Imager Pixel Spacing"),
        ("NominalScannedPixelSpacing", b"0\\1 ", "Nominal Scanned Pixel Spacing"),
    ],
)
def test_a_spacing_that_is_none_is_not_used_and_named(tmp_path: Path, keyword: str, value: bytes, name: str) -> None:
    source = image()
    del source.PixelSpacing, source.ImagerPixelSpacing

    outcome = analysed(tmp_path, with_raw_element(source, keyword, "DS", value))

    assert any(remark.startswith(f"{name} says '") and "not a size" in remark for remark in remarks(outcome))


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("ContributingEquipmentSequence", "LO", b"none"),
        ("RequestAttributesSequence", "LO", b"none"),
        ("DeidentificationMethodCodeSequence", "CS", b"NONE"),
        ("SamplesPerPixel", "US", b""),
        ("NumberOfFrames", "IS", b""),
        ("PatientAge", "AS", b"old "),
        ("StudyDate", "DA", b"yesterday "),
        ("TimezoneOffsetFromUTC", "SH", b"+99999"),
    ],
)
def test_what_is_damaged_without_a_say_in_the_image_costs_itself(
    tmp_path: Path, keyword: str, vr: str, value: bytes
) -> None:
    path = tmp_path / "received.dcm"
    path.write_bytes(with_raw_element(image(), keyword, vr, value))

    assert read_header(path).study_instance_uid == STUDY
    assert isinstance(analysed(tmp_path, path.read_bytes()), Analysed)


@pytest.mark.parametrize("keyword", ["Rows", "BitsAllocated", "PhotometricInterpretation", "SOPInstanceUID"])
def test_an_image_that_cannot_be_analysed_has_a_reason_and_its_neighbour_is_analysed(
    tmp_path: Path, keyword: str
) -> None:
    outcome = analysed(tmp_path, with_raw_element(image(), keyword, "SQ", b""), good())

    assert isinstance(outcome, Analysed)
    assert [file.image.path.name for file in outcome.images] == ["1.dcm"]
    assert [file.image.path.name for file in outcome.skipped] == ["0.dcm"]


values = st.one_of(
    st.just(b""),
    st.binary(max_size=24),
    st.sampled_from(
        [b"1", b"1\\1", b"1\\1 ", b"CHEST", b"CHEST\\CHEST ", b"PA\\LAT", b"\\", b"\\\\\\", b"-1", b"1e99", b"NaN "]
    ),
    st.sampled_from([b"\x00" * 2, b"\xff" * 2, b"\xff" * 4, b"\x01", b"\x00" * 8, b"\xfe\xff\x00\xe0\xff\xff\xff\xff"]),
    st.text(max_size=12).map(str.encode),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keyword=st.sampled_from(READ), vr=st.sampled_from(VRS), value=values)
def test_whatever_an_element_holds_each_image_has_an_outcome(
    tmp_path: Path, keyword: str, vr: str, value: bytes
) -> None:
    damaged = with_raw_element(image(), keyword, vr, value)
    begin = process_time()

    outcome = analysed(tmp_path, damaged, good())

    assert process_time() - begin < 60
    if isinstance(outcome, Rejected):
        assert keyword in IDENTITY
    else:
        assert "1.dcm" in [file.image.path.name for file in outcome.images]
        assert len(outcome.images) + len(outcome.skipped) == 2


mutations = st.lists(
    st.tuples(st.sampled_from(READ), st.sampled_from(VRS), values), min_size=1, max_size=3, unique_by=lambda one: one[0]
)


def test_whatever_a_header_holds_receiver_and_worker_end_with_a_reason(
    tmp_path: Path, spool: MemorySpool, ledger: SqlLedger, clock: FakeClock
) -> None:
    """What is received is analysed, too, in bounded time of a processor. `make mutations` draws 10,000 at random."""
    service = ReceiveService(spool, ledger.arrivals, clock, read_header, 10_000_000, UrgencyQuota(1))
    outcomes: Counter[str] = Counter()
    slowest: tuple[float, object] = 0.0, None

    @settings(max_examples=THOROUGH_EXAMPLES if settings.get_current_profile_name() == "thorough" else 60)
    @given(raw=mutations, cut=st.one_of(st.just(0), st.integers(0, 400)))
    def through(raw: list[tuple[str, str, bytes]], cut: int) -> None:
        nonlocal slowest
        source = image()
        content = with_raw_elements(source, raw)
        content = content[: len(content) - cut]
        begin = process_time()
        said = _received(service, spool, source, content)
        if said is None:
            outcome = analysed(tmp_path, content)
            said = "analysed: " if isinstance(outcome, Analysed) else f"rejected: {outcome.reason}"
        took_s = process_time() - begin
        slowest = max(slowest, (took_s, (raw, cut)), key=lambda each: each[0])
        assert took_s < 60
        what, reason = said.split(": ", 1)
        assert (reason == "") == (what == "analysed")
        outcomes[what] += 1

    through()
    took_s, what = slowest
    print(f"{outcomes.total()} headers: {dict(outcomes)}; the slowest took {took_s:.2f} s of a processor: {what}")  # noqa: T201 - what the long run is for


def _received(service: ReceiveService, spool: MemorySpool, source: Dataset, content: bytes) -> str | None:
    """Give a file to the receiver; return why it is refused, None where it is taken."""
    path = spool.incoming_dir() / "received"
    path.write_bytes(content)
    try:
        service.receive(path, "MODALITY", "PATCHCLIP", "10.0.0.1", source.SOPClassUID, source.SOPInstanceUID)
    except RejectedError as error:
        return f"refused: {error}"
    finally:
        spool.files.clear()
    return None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keyword=st.sampled_from(READ), vr=st.sampled_from(VRS), value=values, cut=st.integers(0, 400))
def test_whatever_an_element_holds_the_receiver_reads_it_or_says_why_not(
    tmp_path: Path, keyword: str, vr: str, value: bytes, cut: int
) -> None:
    path = tmp_path / "received.dcm"
    content = with_raw_element(image(), keyword, vr, value)
    path.write_bytes(content[: len(content) - cut])

    header = None
    with suppress(UnreadableInstanceError):
        header = read_header(path)
    if header is not None:
        shown_on_pages = header.patient_name + header.patient_id + header.study_description
        assert {unicodedata.category(character) for character in shown_on_pages}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})


@pytest.mark.parametrize("item", [{}, {"ScheduledProcedureStepID": "S1"}, {"AccessionNumber": "A1"}])
def test_very_many_orders_cost_little_and_are_not_repeated(tmp_path: Path, item: dict[str, str]) -> None:
    order = Dataset()
    for keyword, value in item.items():
        setattr(order, keyword, value)
    begin = process_time()

    outcome = analysed(
        tmp_path, with_raw_element(image(RequestAttributesSequence=[order] * 20_000), "ImageComments", "LT", b"")
    )

    assert isinstance(outcome, Analysed)
    assert process_time() - begin < 60
    assert all(len(encode(result)) < 2_000_000 for variant, result in outcome.results if variant.kind is ResultKind.SR)
    assert all(len(result.get("ReferencedRequestSequence", ())) <= 16 for _, result in outcome.results)
