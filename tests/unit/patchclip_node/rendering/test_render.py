"""`render`: what is drawn lies where the object says it is, whoever made it, and strangers' files do no harm."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.io import DecodeLimits, read_radiograph
from patchclip_core.values.results import Radiograph, Region
from patchclip_node.domain.errors import NodeError
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.rendering.annotations import read_presentation_state
from patchclip_node.rendering.marks import Mark, Marks
from patchclip_node.rendering.paint import _rows
from patchclip_node.rendering.render import render
from patchclip_node.rendering.reports import read_report
from patchclip_node.results import encode
from patchclip_node.services.analyse import Analysed, StudyImage, analyse_instances
from tests.peers.radiographs import radiograph, write
from tests.support.synthetic import result_context

ROWS, COLUMNS = 640, 480
LEFT, TOP, RIGHT, BOTTOM = 60, 160, 160, 320
"""The bright rectangle of `radiograph`, in pixels."""
HALF_A_PATCH_PX = ROWS / 32 / 2
SCALE = 1400 / ROWS
LEGEND_PX = 540
COLOUR = (230, 159, 0)
"""Of lung opacity in conf/findings.yaml, and the first of the palette."""
LIMITS = DecodeLimits()

Picture = NDArray[np.int_]


class Files:
    def read(self, path: Path) -> Radiograph:
        return read_radiograph(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[ResultKind | str, Path]:
    """A radiograph with a bright rectangle, under "image", and each kind of result that the node makes of it."""
    folder = tmp_path_factory.mktemp("render")
    dataset = radiograph(bright=True, rows=ROWS, columns=COLUMNS)
    files: dict[ResultKind | str, Path] = {"image": write(dataset, folder / "image.dcm")}
    variants = [ResultVariant.usual(kind) for kind in ResultKind]
    checkpoint = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"
    image = StudyImage(files["image"], str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    outcome = analyse_instances([image], Files(), load(checkpoint, "cpu"), result_context(), variants)
    assert isinstance(outcome, Analysed)
    for variant, result in outcome.results:
        files[variant.kind] = folder / f"{variant.kind.value}.dcm"
        files[variant.kind].write_bytes(encode(result))
    return files


@pytest.fixture
def unlabelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label stands at the edge of what it names, in its colour: leave it out where edges are measured."""
    monkeypatch.setattr("patchclip_node.rendering.paint.draw_labels", lambda *_: None)


def without_words(state: Path, folder: Path, **attributes: Any) -> Path:
    """A presentation state that draws, but writes nothing."""
    dataset = dcmread(state)
    for annotation in dataset.GraphicAnnotationSequence:
        annotation.TextObjectSequence = []
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "state.dcm")
    return folder / "state.dcm"


def drawn(object_path: Path, image_path: Path, *, anyway: bool = False) -> Picture:
    return np.asarray(render(object_path, image_path, LIMITS, anyway=anyway)).astype(int)


def coloured(picture: Picture, colour: tuple[int, int, int] = COLOUR) -> NDArray[np.bool_]:
    """Where the picture, its legend left out, has this hue, at least half as strong."""
    over_image = picture[:, :-LEGEND_PX]
    strongest = max(colour)
    shares = np.array(colour) / strongest
    value = over_image.max(axis=2)
    saturated = (over_image.max(axis=2) - over_image.min(axis=2)) > 60
    near: NDArray[np.bool_] = saturated & (
        np.abs(over_image / np.maximum(value, 1)[..., None] - shares).max(axis=2) < 0.3
    )
    return near


def bounds(mask: NDArray[np.bool_]) -> list[float]:
    """Left, top, right, bottom of what is marked, in pixels of the image."""
    rows, columns = np.flatnonzero(mask.sum(axis=1) > 3), np.flatnonzero(mask.sum(axis=0) > 3)
    return [edge / SCALE for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]


@pytest.mark.parametrize(
    "kind",
    [ResultKind.SEG, ResultKind.SR, ResultKind.GSPS, ResultKind.FRACTIONAL_SEG, ResultKind.PARAMETRIC_MAP],
)
def test_the_bright_rectangle_is_covered_within_half_a_patch(
    kind: ResultKind, study: dict[ResultKind | str, Path], unlabelled: None, tmp_path: Path
) -> None:
    path = without_words(study[kind], tmp_path) if kind is ResultKind.GSPS else study[kind]

    picture = drawn(path, study["image"])

    assert bounds(coloured(picture)) == pytest.approx([LEFT, TOP, RIGHT, BOTTOM], abs=1.2 * HALF_A_PATCH_PX)
    assert picture.shape[:2] == (1400, 1050 + LEGEND_PX)


def test_a_key_image_gets_a_frame_and_its_reason(study: dict[ResultKind | str, Path]) -> None:
    mask = coloured(drawn(study[ResultKind.KO], study["image"]))

    assert bounds(mask) == pytest.approx([0, 0, COLUMNS, ROWS], abs=15)
    assert not mask[200:1200, 200:850].any()


def test_a_secondary_capture_is_its_own_picture(study: dict[ResultKind | str, Path]) -> None:
    capture = dcmread(study[ResultKind.SC])

    picture = render(study[ResultKind.SC], study["image"], LIMITS)

    assert picture.tobytes() == capture.PixelData[: capture.Rows * capture.Columns * 3]


def capture(study: dict[ResultKind | str, Path], folder: Path, pixels: NDArray[Any], **attributes: Any) -> Path:
    """A Secondary Capture of another maker with one sample a pixel."""
    dataset = dcmread(study[ResultKind.SC])
    del dataset.PlanarConfiguration
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(pixels.dtype.kind == "i")
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "capture.dcm")
    return folder / "capture.dcm"


@pytest.mark.parametrize(
    ("kind", "offset", "photometric", "expected"),
    [
        ("<u2", 1000, "MONOCHROME2", [0, 64, 191, 255]),
        ("<i2", -2000, "MONOCHROME2", [0, 64, 191, 255]),
        ("<u2", 1000, "MONOCHROME1", [255, 191, 64, 0]),
    ],
)
def test_a_grey_secondary_capture_is_shown_by_its_window(
    kind: str,
    offset: int,
    photometric: str,
    expected: list[int],
    study: dict[ResultKind | str, Path],
    tmp_path: Path,
) -> None:
    pixels = np.tile(np.repeat(np.array([0, 500, 1500, 2000]) + offset, 40), (160, 1)).astype(kind)
    path = capture(
        study, tmp_path, pixels, PhotometricInterpretation=photometric, WindowCenter=offset + 1000.5, WindowWidth=2001
    )

    picture = drawn(path, study["image"])

    assert picture.shape[1] == 1400 + LEGEND_PX
    assert picture[700, [175, 525, 875, 1225], 0] == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_secondary_capture_with_a_palette_is_shown_in_its_colours(
    bits: int, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    rising = (np.arange(256) * (257 if bits == 16 else 1)).astype("<u2" if bits == 16 else "u1")
    tables = {"Red": rising, "Green": rising[::-1], "Blue": np.zeros_like(rising)}
    path = capture(
        study,
        tmp_path,
        np.full((64, 64), 200, np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
    )
    dataset = dcmread(path)
    for number, (colour, table) in enumerate(tables.items(), 1):
        dataset.add_new((0x0028, 0x1100 + number), "US", [256, 0, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())
    dataset.save_as(path)

    assert tuple(drawn(path, study["image"])[32, 32]) == (200, 55, 0)


def test_a_report_in_words_leaves_the_image_as_it_is(study: dict[ResultKind | str, Path]) -> None:
    assert not coloured(drawn(study[ResultKind.TEXT_SR], study["image"])).any()


def presented(study: dict[ResultKind | str, Path], folder: Path, **attributes: Any) -> Picture:
    state = dcmread(study[ResultKind.GSPS])
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    path = folder / "state.dcm"
    state.save_as(path)
    return drawn(path, study["image"])


def test_a_presentation_states_window_and_polarity_replace_those_of_the_image(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    narrow = Dataset()
    narrow.WindowCenter, narrow.WindowWidth = 400, 400

    wide, tight, inverse = (
        presented(study, tmp_path, **attributes)[1000:1300, 600:900].mean()
        for attributes in ({}, {"SoftcopyVOILUTSequence": [narrow]}, {"PresentationLUTShape": "INVERSE"})
    )

    assert wide == pytest.approx(400 / 4095 * 255, abs=4)
    assert tight == pytest.approx(127, abs=8)
    assert inverse == pytest.approx(255 - wide, abs=4)


def notes_of(study: dict[ResultKind | str, Path], **attributes: Any) -> tuple[str, ...]:
    state = dcmread(study[ResultKind.GSPS])
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    return read_presentation_state(state, dcmread(study["image"])).notes


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def area(corner: list[int], opposite: list[int]) -> list[Dataset]:
    return [item(DisplayedAreaTopLeftHandCorner=corner, DisplayedAreaBottomRightHandCorner=opposite)]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}, "not drawn: the shutter (rectangular, circular)"),
        ({"DisplayedAreaSelectionSequence": area([20, 20], [90, 90])}, "not kept to: the displayed area"),
        ({"PresentationLUTSequence": [Dataset()]}, "not applied: its presentation lookup table"),
        (
            {"GraphicAnnotationSequence": [item(CompoundGraphicSequence=[item(CompoundGraphicInstanceID=1)])]},
            "not drawn: 1 compound graphics",
        ),
    ],
)
def test_what_a_presentation_state_shows_and_the_picture_does_not_is_said(
    attributes: dict[str, Any], words: str, study: dict[ResultKind | str, Path]
) -> None:
    (said,) = set(notes_of(study, **attributes)) - set(notes_of(study))

    assert said.startswith(words)


def test_a_presentation_state_that_is_shown_as_it_is_has_nothing_left_out(
    study: dict[ResultKind | str, Path],
) -> None:
    simple = item(
        GraphicType="POINT", GraphicData=[9.0, 9.0], GraphicAnnotationUnits="PIXEL", CompoundGraphicInstanceID=1
    )
    equivalent = item(CompoundGraphicSequence=[item(CompoundGraphicInstanceID=1)], GraphicObjectSequence=[simple])

    for attributes in (
        {"GraphicAnnotationSequence": [equivalent]},
        {"DisplayedAreaSelectionSequence": area([COLUMNS, 1], [1, ROWS])},
    ):
        assert not [note for note in notes_of(study, **attributes) if note.startswith("not ")]


def test_overlay_planes_of_a_presentation_state_are_said_to_be_left_out(study: dict[ResultKind | str, Path]) -> None:
    state = dcmread(study[ResultKind.GSPS])
    state.add_new((0x6000, 0x3000), "OW", b"\0\0")

    assert "not drawn: its overlay planes" in read_presentation_state(state, dcmread(study["image"])).notes


def test_a_window_that_shows_nothing_is_remarked_in_the_legend(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    off = item(WindowCenter=60_000, WindowWidth=10)

    usual, remarked = (
        presented(study, tmp_path, **attributes)[:, -LEGEND_PX:]
        for attributes in ({}, {"SoftcopyVOILUTSequence": [off]})
    )

    assert (remarked.max(axis=2) > 100).sum() > (usual.max(axis=2) > 100).sum() + 1000


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (90, "N", [ROWS - BOTTOM, LEFT, ROWS - TOP, RIGHT]),
        (180, "N", [COLUMNS - RIGHT, ROWS - BOTTOM, COLUMNS - LEFT, ROWS - TOP]),
        (270, "N", [TOP, COLUMNS - RIGHT, BOTTOM, COLUMNS - LEFT]),
        (0, "Y", [COLUMNS - RIGHT, TOP, COLUMNS - LEFT, BOTTOM]),
        (90, "Y", [TOP, LEFT, BOTTOM, RIGHT]),
    ],
)
def test_a_presentation_state_turns_image_and_graphics_alike(
    rotation: int,
    flip: str,
    expected: list[float],
    study: dict[ResultKind | str, Path],
    unlabelled: None,
    tmp_path: Path,
) -> None:
    path = without_words(study[ResultKind.GSPS], tmp_path, ImageRotation=rotation, ImageHorizontalFlip=flip)

    picture = drawn(path, study["image"])

    assert bounds(coloured(picture)) == pytest.approx(expected, abs=1.2 * HALF_A_PATCH_PX)
    bright = picture[:, :-LEGEND_PX].min(axis=2) > 240
    assert bounds(bright) == pytest.approx(expected, abs=3)


def with_region(study: dict[ResultKind | str, Path], graphic_type: str, data: list[float], folder: Path) -> Path:
    """The node's report as another maker might write it: another graphic type, and a finding without a known code."""
    report = dcmread(study[ResultKind.SR])
    (group,) = [
        item
        for part in report.ContentSequence
        for item in part.get("ContentSequence", ())
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
    ]
    (region,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
    region.GraphicType, region.GraphicData = graphic_type, data
    path = folder / "report.dcm"
    report.save_as(path)
    return path


@pytest.mark.parametrize(
    ("graphic_type", "data", "expected"),
    [
        ("CIRCLE", [200.0, 300.0, 200.0, 350.0], [150, 250, 250, 350]),
        ("ELLIPSE", [100.0, 300.0, 300.0, 300.0, 200.0, 250.0, 200.0, 350.0], [100, 250, 300, 350]),
        ("POLYLINE", [100.0, 250.0, 300.0, 250.0, 300.0, 350.0], [100, 250, 300, 350]),
        ("MULTIPOINT", [100.0, 250.0, 300.0, 350.0], [94, 244, 306, 356]),
    ],
)
def test_every_graphic_type_of_a_report_is_drawn_in_its_place(
    graphic_type: str,
    data: list[float],
    expected: list[float],
    study: dict[ResultKind | str, Path],
    unlabelled: None,
    tmp_path: Path,
) -> None:
    mask = coloured(drawn(with_region(study, graphic_type, data, tmp_path), study["image"]))

    assert bounds(mask) == pytest.approx(expected, abs=4)


def code(value: str, words: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator="99X", CodeMeaning=words)]


def said(value_type: str, name: str, words: str, *within: Dataset) -> Dataset:
    """A content item that says something beside a region."""
    value = {"ConceptCodeSequence": code("V", words)} if value_type == "CODE" else {"TextValue": words}
    return item(ValueType=value_type, ConceptNameCodeSequence=code("N", name), ContentSequence=list(within), **value)


def test_all_that_a_report_says_beside_a_region_is_in_the_legend(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    report = dcmread(with_region(study, "POINT", [100.0, 250.0], tmp_path))
    (group,) = [
        one
        for part in report.ContentSequence
        for one in part.get("ContentSequence", ())
        if one.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
    ]
    group.ContentSequence.extend(
        [
            said("CODE", "Finding Site", "Lung", said("CODE", "Laterality", "Left")),
            said("CODE", "Malignancy", "highly suspicious"),
            said("TEXT", "Comment", "seen before"),
            said("CODE", "Malignität", "高度"),
        ]
    )

    (mark,) = read_report(report, dcmread(study["image"])).marks

    assert mark.name == "Opacity"
    assert {
        "Tracking Identifier: lung opacity 1",
        "Finding Site: Lung (Laterality: Left)",
        "Malignancy: highly suspicious",
        "Comment: seen before",
        "Malignität: V 99X",
    } < set(mark.details)
    assert [detail for detail in mark.details if detail.startswith("Probability of lung opacity: ")]


@pytest.mark.parametrize("label", ["Herd", "山田"])
def test_letters_that_a_picture_cannot_show_are_told(label: str) -> None:
    plain = Radiograph(np.zeros((64, 64), dtype=np.float32))
    rows = [_rows(Marks((Mark(label, COLOUR, ()),), ()), "title", (), plain.remarks)]

    told = any("letters that this picture cannot show" in line for row in rows for line, _ in row)

    assert told == (label == "山田")


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        (SegmentationTypeValues.BINARY, ExplicitVRLittleEndian),
        (SegmentationTypeValues.LABELMAP, ExplicitVRLittleEndian),
        (SegmentationTypeValues.LABELMAP, RLELossless),
        (SegmentationTypeValues.LABELMAP, JPEGLSLossless),
    ],
)
def test_a_segmentation_of_another_maker_is_drawn(
    kind: SegmentationTypeValues, syntax: str, study: dict[ResultKind | str, Path], unlabelled: None, tmp_path: Path
) -> None:
    segmentation = foreign_segmentation(study["image"], kind, syntax)
    path = tmp_path / "seg.dcm"
    segmentation.save_as(path)

    mask = coloured(drawn(path, study["image"]))

    assert bounds(mask) == pytest.approx([300, 400, 403, 507], abs=2)


def foreign_segmentation(image: Path, kind: SegmentationTypeValues, syntax: str) -> Dataset:
    source = dcmread(image)
    source.AccessionNumber, source.PatientAge = "", "050Y"
    mask = np.zeros((1, ROWS, COLUMNS), dtype=np.uint8)
    mask[0, 400:507, 300:403] = 1
    description = highdicom.seg.SegmentDescription(
        1,
        "somebody's",
        highdicom.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        highdicom.sr.CodedConcept("27925004", "SCT", "Nodule"),
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    return highdicom.seg.Segmentation(
        [source],
        mask,
        kind,
        [description],
        highdicom.UID(),
        5,
        highdicom.UID(),
        1,
        "Somebody",
        "Model",
        "1",
        "1",
        transfer_syntax_uid=syntax,
    )


def test_an_object_of_another_image_is_refused_unless_asked_for(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    other = write(radiograph(rows=ROWS, columns=COLUMNS), tmp_path / "other.dcm")

    with pytest.raises(NodeError, match=r"does not refer to other\.dcm .*it refers to .*--anyway"):
        render(study[ResultKind.SEG], other, LIMITS)
    assert coloured(drawn(study[ResultKind.SEG], other, anyway=True)).any()


def test_a_segmentation_of_another_size_is_refused(study: dict[ResultKind | str, Path], tmp_path: Path) -> None:
    other = write(radiograph(rows=300, columns=300), tmp_path / "other.dcm")

    with pytest.raises(NodeError, match="480 x 640 pixels and the image 300 x 300"):
        render(study[ResultKind.SEG], other, LIMITS, anyway=True)


def spoilt(header: Dataset, fault: str) -> Dataset:
    dataset = copy.deepcopy(header)
    match fault:
        case "too many frames":
            dataset.NumberOfFrames = 100_000
        case "too large":
            dataset.Rows, dataset.Columns = 60_000, 60_000
        case "no pixels":
            del dataset.PixelData
        case "cut off":
            dataset.PixelData = dataset.PixelData[:64]
        case "frame without a segment":
            for part in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
                part.pop("SegmentIdentificationSequence", None)
        case "another class":
            dataset.SOPClassUID = CTImageStorage
    return dataset


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("too many frames", "100000 frames, more than 2000"),
        ("too large", "more than the 100000000 that are allowed"),
        ("no pixels", "no pixel data"),
        ("cut off", "pixel data"),
        ("frame without a segment", "does not say which segment"),
        ("another class", "CT Image Storage cannot be drawn over an image"),
    ],
)
def test_a_strangers_segmentation_is_refused_with_the_reason(
    fault: str, words: str, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "seg.dcm"
    spoilt(dcmread(study[ResultKind.SEG]), fault).save_as(path)

    with pytest.raises(Exception, match=words):
        render(path, study["image"], LIMITS)


@pytest.mark.parametrize(
    ("graphic_type", "data", "words"),
    [
        ("POLYLINE", [1.0, 2.0, 3.0], "3 coordinates; it needs pairs"),
        ("POLYLINE", [float("nan"), 2.0], "far outside its image"),
        ("CIRCLE", [1.0, 2.0], "CIRCLE with 1 points cannot be drawn"),
        ("BLOB", [1.0, 2.0], "BLOB with 1 points cannot be drawn"),
        ("POINT", [1e9, 2.0], "far outside its image"),
    ],
)
def test_a_strangers_region_is_refused_with_the_reason(
    graphic_type: str, data: list[float], words: str, study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    with pytest.raises(NodeError, match=words):
        render(with_region(study, graphic_type, data, tmp_path), study["image"], LIMITS)


def test_a_picture_is_the_same_each_time(study: dict[ResultKind | str, Path]) -> None:
    one, two = (render(study[ResultKind.SR], study["image"], LIMITS) for _ in range(2))

    assert isinstance(one, Image.Image)
    assert one.tobytes() == two.tobytes()


def test_regions_are_where_the_test_expects_them(study: dict[ResultKind | str, Path]) -> None:
    """The bright rectangle itself: what the other tests compare with."""
    pixels = read_radiograph(study["image"]).pixels > 0.9
    region = Region(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, 1.0)

    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (
        region.x,
        region.y,
        region.x + region.w,
        region.y + region.h,
    )
