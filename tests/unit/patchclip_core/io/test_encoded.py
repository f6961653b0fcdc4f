"""A header costs a bounded multiple of its bytes, whatever it is made of; what it says otherwise is read as before."""

from __future__ import annotations

import resource
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data.data_manager import DATA_ROOT
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from patchclip_core.io import encoded
from patchclip_core.io.elements import read_elements, tolerant_reading
from patchclip_core.io.encoded import MAX_BYTES, MAX_PARTS, TooMuchToReadError, readable_part

MEGABYTE = 1_000_000
UNDEFINED = 0xFFFFFFFF
REQUESTS = 0x00400275
BODY_PART = 0x00180015
CHARACTER_SET = 0x00080005


def element(tag: int, vr: bytes, value: bytes, is_implicit: bool, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if is_implicit:
        return start + struct.pack("<L", size) + value
    if vr in {b"SQ", b"UN", b"OB", b"UT"}:
        return start + vr + b"\0\0" + struct.pack("<L", size) + value
    return start + vr + struct.pack("<H", size & 0xFFFF) + value


def item(content: bytes = b"") -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def undefined_item(content: bytes = b"") -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + ITEM_END


def in_sequence(tag: int, content: bytes, is_implicit: bool, is_defined: bool, vr: bytes = b"SQ") -> bytes:
    if is_defined:
        return element(tag, vr, content, is_implicit)
    return element(tag, vr, content + SEQUENCE_END, is_implicit, UNDEFINED)


def nested(depth: int, is_implicit: bool, is_defined: bool) -> bytes:
    content = b""
    for _ in range(depth):
        content = in_sequence(
            REQUESTS, item(content) if is_defined else undefined_item(content), is_implicit, is_defined
        )
    return content


Bomb = Callable[[int, bool, bool], bytes]
BOMBS: dict[str, Bomb] = {
    "empty items": lambda n, i, d: in_sequence(REQUESTS, item() * (n // 8), i, d),
    "items of undefined length": lambda n, i, d: in_sequence(REQUESTS, undefined_item() * (n // 16), i, d),
    "items in a private sequence": lambda n, i, d: in_sequence(0x00091002, item() * (n // 8), i, d),
    "items in UN": lambda n, i, d: in_sequence(REQUESTS, item() * (n // 8), i, d, b"UN"),
    "items in items": lambda n, i, d: in_sequence(
        REQUESTS, item(in_sequence(REQUESTS, item() * 1000, i, d)) * (n // 8020), i, d
    ),
    "short elements in an item": lambda n, i, d: in_sequence(
        REQUESTS, item(element(BODY_PART, b"CS", b"", i) * (n // 8)), i, d
    ),
    "short elements": lambda n, i, d: b"".join(element(0x00200000 + k % 65000, b"IS", b"", i) for k in range(n // 8)),
    "the same element": lambda n, i, d: element(BODY_PART, b"CS", b"", i) * (n // 8),
    "many sequences": lambda n, i, d: in_sequence(REQUESTS, item() * 900, i, d) * (n // 7220),
    "values of text": lambda n, i, d: element(BODY_PART, b"CS", b"\\" * 60_000, i) * (n // 60_000),
    "depth": lambda n, i, d: nested(150, i, d),
}


def file_of(path: Path, content: bytes, is_implicit: bool) -> Path:
    syntax = (ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian).encode()
    meta = element(0x00020010, b"UI", syntax + b"\0" * (len(syntax) % 2), is_implicit=False)
    before = element(0x00080018, b"UI", b"1.2.3\0", is_implicit)
    after = element(0x0020000D, b"UI", b"1.2.3.4\0", is_implicit)
    path.write_bytes(b"\0" * 128 + b"DICM" + meta + before + content + after)
    return path


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("is_defined", [False, True])
@pytest.mark.parametrize("kind", list(BOMBS))
def test_a_header_of_two_megabytes_costs_no_more_than_an_image(
    tmp_path: Path, kind: str, is_implicit: bool, is_defined: bool
) -> None:
    path = file_of(tmp_path / "bomb.dcm", BOMBS[kind](2 * MEGABYTE, is_implicit, is_defined), is_implicit)
    size_bytes = path.stat().st_size

    began_s = time.process_time()
    read_or_refused(path)
    took_s = time.process_time() - began_s
    tracemalloc.start()
    read_or_refused(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert took_s < 1.5
    assert peak_bytes < 30 * MEGABYTE + 3 * size_bytes


def read_or_refused(path: Path) -> None:
    with suppress(TooMuchToReadError, OSError, RecursionError):
        read_elements(path)


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("is_defined", [False, True])
@pytest.mark.parametrize("items", [10_000, 20_000])
def test_a_sequence_of_thousands_of_items_is_left_out_and_the_rest_is_read(
    tmp_path: Path, items: int, is_implicit: bool, is_defined: bool
) -> None:
    content = in_sequence(REQUESTS, item() * (items + 1), is_implicit, is_defined)

    dataset, left_out = read_elements(file_of(tmp_path / "image.dcm", content, is_implicit))

    assert left_out == ("(0040,0275)",)
    assert dataset.SOPInstanceUID == "1.2.3"
    assert dataset.StudyInstanceUID == "1.2.3.4"


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("is_defined", [False, True])
def test_what_an_image_has_is_read_with_its_items(tmp_path: Path, is_implicit: bool, is_defined: bool) -> None:
    inner = element(BODY_PART, b"CS", b"CHEST ", is_implicit)
    content = in_sequence(REQUESTS, item(inner) * 50, is_implicit, is_defined)

    dataset, left_out = read_elements(file_of(tmp_path / "image.dcm", content, is_implicit))

    assert left_out == ()
    assert [one.BodyPartExamined for one in dataset.RequestAttributesSequence] == ["CHEST"] * 50
    assert dataset.StudyInstanceUID == "1.2.3.4"


@pytest.mark.parametrize("vr", [b"CS", b"US", b"FD", b"PN", b"AT", b"IS", b"OB", b"UN"])
@pytest.mark.parametrize("is_defined", [None, True, False])
def test_a_damaged_character_set_costs_itself_or_its_sequence(
    tmp_path: Path, vr: bytes, is_defined: bool | None
) -> None:
    content = element(CHARACTER_SET, vr, b"\1\0\2", False)
    if is_defined is not None:
        content = in_sequence(REQUESTS, item(content), False, is_defined)

    dataset, left_out = read_elements(file_of(tmp_path / "image.dcm", content, False))

    assert left_out == ("(0008,0005)" if is_defined is None else "(0040,0275)",)
    assert dataset.StudyInstanceUID == "1.2.3.4"


def test_a_long_element_is_left_out_and_never_read_into_memory(tmp_path: Path) -> None:
    content = element(0x00420011, b"OB", b"\0" * (MAX_BYTES + 2), False)
    path = file_of(tmp_path / "image.dcm", content, False)

    tracemalloc.start()
    dataset, left_out = read_elements(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert left_out == ("(0042,0011)",)
    assert dataset.StudyInstanceUID == "1.2.3.4"
    assert peak_bytes < MAX_BYTES


def test_more_parts_than_an_image_has_are_refused_by_number(tmp_path: Path) -> None:
    content = element(BODY_PART, b"CS", b"", False) * (MAX_PARTS + 1)

    with pytest.raises(TooMuchToReadError, match=str(MAX_PARTS)):
        read_elements(file_of(tmp_path / "image.dcm", content, False))


@pytest.mark.parametrize("path", sorted((Path(DATA_ROOT) / "test_files").glob("*.dcm")), ids=lambda path: path.name)
def test_every_file_is_read_as_pydicom_reads_it_without_its_private_elements(path: Path) -> None:
    with tolerant_reading():
        try:
            expected = dcmread(path, force=True, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - what pydicom raises is its own
            pytest.skip("pydicom does not read this file")
        if expected.file_meta.get("TransferSyntaxUID") == "1.2.840.10008.1.2.1.99":
            with pytest.raises(TooMuchToReadError, match="deflated"):
                readable_part(path)
            return
        expected.remove_private_tags()
        file, _, left_out = readable_part(path)
        found = dcmread(file, force=True, stop_before_pixels=True)
        found.remove_private_tags()

    assert left_out == ()
    assert found.file_meta == expected.file_meta
    assert found == expected


def parts_of(dataset: Dataset) -> int:
    """Elements and items that pydicom made."""
    count = 0
    for one in dataset:
        count += 1
        if one.VR == "SQ":
            count += sum(1 + parts_of(inner) for inner in one.value)
    return count


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=24),
            st.sampled_from([item(), ITEM_END, SEQUENCE_END, item(b"\0" * 8), undefined_item()]),
            st.builds(
                element,
                st.sampled_from([REQUESTS, BODY_PART, 0x00091002, 0x00280010, 0x00189999]),
                st.sampled_from([b"SQ", b"UN", b"CS", b"US", b"UT", b"\0\0"]),
                st.sampled_from([b"", b"ab", item() * 3, undefined_item() * 2]),
                st.booleans(),
                st.sampled_from([None, UNDEFINED, 0, 8, 40]),
            ),
        ),
        max_size=12,
    ),
    is_implicit=st.booleans(),
)
def test_pydicom_never_makes_more_than_the_scan_has_counted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], is_implicit: bool
) -> None:
    path = file_of(tmp_path_factory.mktemp("mutated") / "image.dcm", b"".join(pieces), is_implicit)
    scan = encoded._Scan(path.read_bytes())
    try:
        kept = b"".join(scan.result())
    except TooMuchToReadError:
        return
    with tolerant_reading():
        try:
            made = parts_of(dcmread(BytesIO(kept), force=True, stop_before_pixels=True))
        except Exception:  # noqa: BLE001 - pydicom gives up: nothing is kept
            return

    assert made <= scan._steps + 1


def test_readers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with tolerant_reading():
        path = file_of(tmp_path / "image.dcm", b"", is_implicit=False)
        reader = threading.Thread(target=read_elements, args=(path,), daemon=True)
        reader.start()
        reader.join(5)

        assert not reader.is_alive()


def test_a_peak_of_memory_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    """The largest number of parts that is read, made of what costs pydicom most."""
    content = in_sequence(REQUESTS, item() * 9_900, False, True) + in_sequence(0x00081140, item() * 9_900, False, True)
    path = file_of(tmp_path / "image.dcm", content, False)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.process_time()
    dataset, left_out = read_elements(path)

    assert left_out == ()
    assert len(dataset.RequestAttributesSequence) == 9_900
    assert time.process_time() - began_s < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
