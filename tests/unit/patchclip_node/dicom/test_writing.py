"""What is written are the bytes that pydicom writes, whatever a data set holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from patchclip_node.dicom.writing import encode
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results import build_results
from tests.support.synthetic import analysed, result_context, with_overlay

Fill = Callable[[Dataset], None]

OF_EACH_VR: Final[Mapping[str, tuple[Any, ...]]] = {
    "AE": ("NODE", ["ONE", "OTHER"], "", None),
    "AS": ("045Y", None),
    "AT": (0x00080018, [0x00080018, 0x7FE00010], None),
    "CS": ("DERIVED", ["DERIVED", "SECONDARY", ""], ""),
    "DA": ("20260102", ["20260102", "20260103"], ""),
    "DS": ("1.5", 1.5, [0.1, 0.25, "1e-3"], None),
    "DT": ("20260102101112.5+0100", None),
    "FD": (1.5, [0.1, 0.2], None),
    "FL": (1.5, [0.1, 0.2], None),
    "IS": ("12", 12, [1, 2, 3], None),
    "LO": ("odd", "even", ["a", "bc"], "", None),
    "LT": ("a longer text\r\nof two lines", ""),
    "OB": (b"\1\2\3", b""),
    "OD": (b"\0" * 16,),
    "OF": (b"\0" * 8,),
    "OL": (b"\0" * 8,),
    "OV": (b"\0" * 8,),
    "OW": (b"\0" * 6,),
    "PN": ("Doe^Jane", ["Doe^Jane", "Roe^Richard"], "", None),
    "SH": ("short", ["a", "b"], ""),
    "SL": (-5, [1, -2], None),
    "SS": (-5, [1, -2], None),
    "ST": ("words", ""),
    "SV": (-(2**40), None),
    "TM": ("101112.123456", "1011", ""),
    "UC": ("unlimited", ["a", "b"], ""),
    "UI": ("1.2.3", "1.2.34", ["1.2", "1.2.3"], ""),
    "UL": (5, [1, 2], None),
    "UN": (b"\1\2\3\4", b""),
    "UR": ("https://example.org/a", ""),
    "US": (5, [1, 2], None),
    "UT": ("text of any length", "", "x" * 70_000),
    "UV": (2**40, None),
}


def data_set(fill: Fill) -> Dataset:
    """Return a data set that a file can be made of, with what `fill` adds."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, UID("1.2.3")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    fill(dataset)
    return dataset


def by_pydicom(dataset: Dataset) -> bytes:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def assert_same(fill: Fill) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that do not keep to their VR
        assert encode(data_set(fill)) == by_pydicom(data_set(fill))


@pytest.mark.parametrize(("vr", "value"), [(vr, value) for vr, values in OF_EACH_VR.items() for value in values])
def test_a_value_of_each_vr(vr: str, value: Any) -> None:
    def fill(dataset: Dataset) -> None:
        block = dataset.private_block(0x0011, "SOMEBODY", create=True)
        block.add_new(1, vr, value)

    def fill_below(dataset: Dataset) -> None:
        item = Dataset()
        fill(item)
        dataset.OriginalAttributesSequence = [item, Dataset()]
        dataset.ContentSequence = []

    assert_same(fill)
    assert_same(fill_below)


NAMES: Final[Mapping[str | tuple[str, ...] | None, str]] = {
    None: "Doe^Jane",
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 144": "Образец^Семь",
    "ISO_IR 192": "山田^太郎=Yamada",
    ("", "ISO 2022 IR 87"): "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ("ISO 2022 IR 13", "ISO 2022 IR 87"): "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ("", "ISO 2022 IR 149"): "Hong^Gildong=洪^吉洞=홍^길동",
}


@pytest.mark.parametrize("terms", NAMES, ids=str)
@pytest.mark.parametrize("of_item", [None, "ISO_IR 192", ""])
def test_texts_in_each_character_set_and_in_that_of_an_item(terms: str | tuple[str, ...] | None, of_item: str) -> None:
    def fill(dataset: Dataset) -> None:
        name = NAMES[terms]
        if terms is not None:
            dataset.SpecificCharacterSet = terms if isinstance(terms, str) else list(terms)
        dataset.PatientName, dataset.InstitutionName = name, name
        dataset.OtherPatientNames = [name, name]
        item = Dataset()
        if of_item is not None:
            item.SpecificCharacterSet = of_item
        item.PatientComments = name if of_item != "" else "plain"
        dataset.ReferencedPatientSequence = [item]

    assert_same(fill)


def test_vrs_that_depend_on_another_element_wherever_that_stands() -> None:
    def fill(dataset: Dataset) -> None:
        dataset.PixelRepresentation, dataset.BitsAllocated = 1, 16
        dataset.SmallestImagePixelValue = -3
        item = Dataset()
        item.PixelPaddingValue = -2000
        item.LUTDescriptor, item.LUTData = [4, 0, 16], b"\0\1" * 4
        dataset.ModalityLUTSequence = [item]
        dataset.PixelData = b"\1\2\3"

    assert_same(fill)


def test_what_is_out_of_the_ordinary() -> None:
    def long(dataset: Dataset) -> None:
        dataset.add_new(0x00189074, "LO", ["x" * 60] * 2000)

    def undefined(dataset: Dataset) -> None:
        item = Dataset()
        item.CodeValue = "1"
        item.is_undefined_length_sequence_item = True
        dataset.ProcedureCodeSequence = [item]
        dataset.ConceptNameCodeSequence = Sequence([item])
        dataset["ConceptNameCodeSequence"].is_undefined_length = True

    def group_length(dataset: Dataset) -> None:
        dataset.add_new(0x00100000, "UL", 12)

    def buffered(dataset: Dataset) -> None:
        dataset.BitsAllocated, dataset.PixelData = 8, BytesIO(b"\1\2\3\4")

    for fill in (long, undefined, group_length, buffered):
        assert_same(fill)


def test_elements_that_were_read_and_never_looked_at() -> None:
    def fill(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"
        item = Dataset()
        item.CodeMeaning = "Röntgen"
        dataset.ProcedureCodeSequence = [item]

    file = by_pydicom(data_set(fill))

    assert encode(dcmread(BytesIO(file))) == file
    changed = dcmread(BytesIO(file))
    changed.SpecificCharacterSet = "ISO_IR 192"
    read = dcmread(BytesIO(encode(changed)))  # pydicom itself leaves what is in items in the old bytes
    assert (str(read.PatientName), read.ProcedureCodeSequence[0].CodeMeaning) == ("Müller^Jörg", "Röntgen")


@pytest.mark.parametrize("kind", ResultKind)
def test_the_objects_of_each_kind(kind: ResultKind) -> None:
    found: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)]}
    image = with_overlay(analysed(found, PatientName="Müller^Jörg"))

    def built() -> Dataset:
        return build_results([image], [], result_context(), [ResultVariant.usual(kind)])[0][1]

    assert encode(built()) == by_pydicom(built())


_TEXT: Final = st.text(st.characters(codec="latin-1", exclude_characters="\\"), max_size=40)
_LEAVES: Final = st.fixed_dictionaries(
    {},
    optional={
        "PatientComments": _TEXT,
        "CodeMeaning": st.lists(_TEXT, max_size=3),
        "TableOfXBreakPoints": st.lists(st.integers(0, 2**32 - 1), max_size=4),
        "GraphicData": st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=6),
        "ReferencedFrameNumber": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    },
)
_TREES: Final = st.recursive(
    _LEAVES,
    lambda below: st.tuples(_LEAVES, st.lists(below, max_size=3)).map(lambda both: {**both[0], "Items": both[1]}),
    max_leaves=12,
)


def _filled(dataset: Dataset, tree: Mapping[str, Any]) -> Dataset:
    for key, value in tree.items():
        if key == "Items":
            dataset.ContentSequence = [_filled(Dataset(), each) for each in value]
        else:
            setattr(dataset, key, value)
    return dataset


@given(_TREES)
def test_trees_of_any_shape(tree: Mapping[str, Any]) -> None:
    def fill(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        _filled(dataset, tree)

    assert_same(fill)


def test_another_transfer_syntax_is_refused() -> None:
    dataset = data_set(lambda _: None)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    with pytest.raises(ValueError, match="explicit VR little endian"):
        encode(dataset)


def test_a_value_that_cannot_be_written_is_named_with_its_place() -> None:
    dataset = data_set(lambda _: None)
    item = Dataset()
    with pytest.warns(UserWarning, match="between 0 and 65535"):
        item.add_new(0x00280010, "US", 2**20)
    dataset.ContentSequence = [item]

    with pytest.raises(Exception, match=r".") as caught:
        encode(dataset)

    assert caught.value.__notes__ == ["in (0028,0010) Rows", "in (0040,A730) ContentSequence"]
