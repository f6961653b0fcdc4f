"""Windows and tables of another depth than the image, tables that are damaged, and what of it all is passed on."""

from __future__ import annotations

import subprocess
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from patchclip_core.io import DecodeLimits, DecodingProcess, read_radiograph
from patchclip_core.io.display import apply_voi
from patchclip_core.io.display_json import display_from_json, display_to_json
from patchclip_core.values.display import Display, LookupTable, Rescale, VoiFunction, Window
from patchclip_core.values.results import Radiograph
from tests.support.dicom_images import LIMITS, dataset_of, even_ramp, ramp, write


def lut(entries: NDArray[Any], bits: int, *, first: int = 0, count: int | None = None, vr: str = "OW") -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [(len(entries) if count is None else count) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US"
    words = np.asarray(entries, dtype="<u2")
    item.add_new("LUTData", vr, [int(entry) for entry in words] if vr == "US" else words.tobytes())
    return Sequence([item])


def straight(entries: int, top: int) -> NDArray[np.integer]:
    """A table that rises evenly from 0 to `top`."""
    return np.rint(np.linspace(0, top, entries)).astype(np.uint16)


def read(tmp_path: Path, bits: int, **attributes: Any) -> Radiograph:
    return read_radiograph(write(dataset_of(ramp(bits), bits, **attributes), tmp_path), LIMITS)


@pytest.mark.parametrize(
    ("bits", "attributes"),
    [
        (12, {"WindowCenter": 32768, "WindowWidth": 65536}),
        (12, {"WindowCenter": 8192, "WindowWidth": 16384 * 2}),
        (12, {"WindowCenter": 8192, "WindowWidth": 16384}),
        (12, {"WindowCenter": 2048, "WindowWidth": 16384}),
        (10, {"WindowCenter": 2048, "WindowWidth": 4096}),
        (10, {"WindowCenter": 2048, "WindowWidth": 8192}),
        (14, {"WindowCenter": 128, "WindowWidth": 256}),
        (16, {"WindowCenter": 512, "WindowWidth": 1024}),
        (12, {"WindowCenter": -3000, "WindowWidth": 100}),
        (12, {"WindowCenter": 1e9, "WindowWidth": 1}),
        (12, {"WindowCenter": 2048, "WindowWidth": 1}),
        (12, {"WindowCenter": 2048, "WindowWidth": 0.5}),
        (12, {"WindowCenter": 32768, "WindowWidth": 65536, "VOILUTFunction": "SIGMOID"}),
        (12, {"WindowCenter": 32768, "WindowWidth": 65536, "VOILUTFunction": "LINEAR_EXACT"}),
    ],
)
def test_a_window_of_another_depth_gives_way_to_the_images_own_range_with_a_remark(
    tmp_path: Path, bits: int, attributes: dict[str, Any]
) -> None:
    radiograph = read(tmp_path, bits, **attributes)

    assert radiograph.pixels == even_ramp(0.06)
    assert any(remark.startswith("The window shows too little of this image") for remark in radiograph.remarks)


@pytest.mark.parametrize(
    ("bits", "attributes"),
    [
        (12, {"WindowCenter": 2048, "WindowWidth": 4096}),
        (12, {"WindowCenter": 2048, "WindowWidth": 8192}),
        (12, {"WindowCenter": 1000, "WindowWidth": 500}),
        (12, {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"}),
        (8, {"WindowCenter": 128, "WindowWidth": 256}),
    ],
)
def test_a_window_that_shows_the_image_is_left_as_it_is(tmp_path: Path, bits: int, attributes: dict[str, Any]) -> None:
    radiograph = read(tmp_path, bits, **attributes)

    function = VoiFunction(attributes.get("VOILUTFunction", "LINEAR"))
    assert radiograph.display is not None
    assert radiograph.display.voi == Window(attributes["WindowCenter"], attributes["WindowWidth"], function)
    assert not any("too little" in remark for remark in radiograph.remarks)


@pytest.mark.parametrize("border", [0, 4095])
def test_a_window_is_judged_by_the_centre_and_not_by_a_border_of_its_own(tmp_path: Path, border: int) -> None:
    values = ramp(12)
    values[:, : values.shape[1] // 12] = border
    values[:, -(values.shape[1] // 12) :] = values[:, -1:] // 32

    radiograph = read_radiograph(write(dataset_of(values, 12, WindowCenter=128, WindowWidth=256), tmp_path), LIMITS)

    assert any("shows too little of this image" in remark for remark in radiograph.remarks)


def test_the_second_window_is_taken_where_the_first_shows_nothing(tmp_path: Path) -> None:
    radiograph = read(tmp_path, 12, WindowCenter=[32768, 2048], WindowWidth=[65536, 4096])

    assert radiograph.pixels == even_ramp()
    assert "The window shows too little of this image and was not used." in radiograph.remarks


@pytest.mark.parametrize("vr", ["OW", "OB", "US"])
@pytest.mark.parametrize(("said", "held"), [(16, 12), (16, 10), (14, 10), (12, 8)])
def test_a_voi_lut_that_says_more_bits_than_it_holds_is_shown_over_those_it_holds(
    tmp_path: Path, said: int, held: int, vr: str
) -> None:
    radiograph = read(tmp_path, 12, VOILUTSequence=lut(straight(4096, (1 << held) - 1), said, vr=vr))

    assert radiograph.pixels == even_ramp()
    assert f"The VOI LUT says {said} bits, its entries have {held}: it was shown over these." in radiograph.remarks
    assert radiograph.display is not None
    assert isinstance(radiograph.display.voi, LookupTable)
    assert radiograph.display.voi.bits == held


@pytest.mark.parametrize(("said", "held"), [(8, 12), (12, 16), (0, 12), (200, 12)])
def test_a_voi_lut_whose_entries_exceed_its_bits_is_taken_as_one_of_their_bits(
    tmp_path: Path, said: int, held: int
) -> None:
    radiograph = read(tmp_path, 12, VOILUTSequence=lut(straight(4096, (1 << held) - 1), said))

    assert radiograph.pixels == even_ramp()
    assert any(f"its entries have {held}: it was taken as one of {held}" in remark for remark in radiograph.remarks)


@pytest.mark.parametrize(
    "table",
    [
        lut(straight(2000, 4095), 12, count=4096),
        lut(straight(10, 4095), 12, count=0),
        lut(np.full(4096, 4095), 12),
        lut(np.zeros(4096), 12),
        lut(straight(256, 4095), 12, first=30000),
    ],
    ids=["cut off", "cut off from 65536", "all white", "all black", "beside the values"],
)
def test_a_voi_lut_that_is_cut_off_or_shows_nothing_gives_way_to_the_window(tmp_path: Path, table: Sequence) -> None:
    radiograph = read(tmp_path, 12, VOILUTSequence=table)

    assert radiograph.pixels == even_ramp()
    assert any("VOI LUT" in remark and "not used" in remark for remark in radiograph.remarks)
    assert radiograph.display is not None
    assert radiograph.display.voi == Window(2048, 4096)


def test_without_a_window_beside_it_such_a_table_gives_way_to_the_images_own_range(tmp_path: Path) -> None:
    table = lut(np.zeros(4096), 12)
    radiograph = read(tmp_path, 12, VOILUTSequence=table, WindowCenter=None, WindowWidth=None)

    assert radiograph.pixels == even_ramp(0.06)
    assert (
        "The VOI LUT shows too little of this image: contrast was set from the image's own values."
        in radiograph.remarks
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "1e99"},
        {"RescaleSlope": "-1e38"},
        {"RescaleSlope": "1e-40"},
        {"RescaleIntercept": "1e99"},
        {"RescaleIntercept": "-1e38"},
        {"RescaleSlope": "0.001", "RescaleIntercept": "1e9"},
        {"WindowCenter": "1e99", "WindowWidth": "1"},
        {"WindowCenter": "0", "WindowWidth": "1e99"},
        {"WindowCenter": "0", "WindowWidth": "1e-99"},
        {"WindowCenter": "2048", "WindowWidth": "1e-40", "VOILUTFunction": "SIGMOID"},
    ],
)
def test_a_number_that_no_device_writes_is_left_out_by_name_and_the_image_is_seen(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    window = {} if "WindowWidth" in attributes else {"WindowCenter": None, "WindowWidth": None}

    radiograph = read(tmp_path, 12, **window, **attributes)

    assert np.isfinite(radiograph.pixels).all()
    assert radiograph.pixels == even_ramp(0.06)
    name = next(iter(attributes)).replace("Rescale", "Rescale ").replace("Window", "Window ")
    assert any(name in remark and "out of range: not used." in remark for remark in radiograph.remarks)


@pytest.mark.parametrize(
    ("rescale", "display"),
    [
        ({"RescaleSlope": 0}, Rescale()),
        ({"RescaleSlope": 0, "RescaleIntercept": -100}, Rescale(1, -100)),
        ({"RescaleIntercept": 512}, Rescale(1, 512)),
        ({"RescaleSlope": -1, "RescaleIntercept": 4095}, Rescale(-1, 4095)),
        ({"RescaleSlope": 0.25}, Rescale(0.25, 0)),
    ],
)
def test_rescale_is_passed_on_as_it_was_used(tmp_path: Path, rescale: dict[str, Any], display: Rescale) -> None:
    radiograph = read(tmp_path, 12, **rescale, WindowCenter=None, WindowWidth=None)

    assert radiograph.display is not None
    assert radiograph.display.modality == display
    again = apply_voi(display.slope * ramp(12).astype(np.float32) + display.intercept, radiograph.display.voi)
    assert radiograph.pixels == pytest.approx(again, abs=1e-6)


@pytest.mark.parametrize("low", [-5.0, 0.0, 17.25, 30000.0])
@pytest.mark.parametrize("extent", [0.25, 0.5, 1.0, 3.0, 4095.0, 65535.0])
def test_a_window_between_two_values_shows_them_black_and_white(low: float, extent: float) -> None:
    window = Window.between(low, low + extent)

    shown = apply_voi(np.array([low, low + extent / 2, low + extent], np.float32), window)

    assert shown == pytest.approx([0.0, 0.5, 1.0], abs=0.01)
    assert window.function is VoiFunction.LINEAR or window.width < 1


@pytest.mark.parametrize(
    ("window", "values", "greys"),
    [(Window(1000, 1), [999, 1000], [0, 1]), (Window(1000, 0.5, VoiFunction.LINEAR_EXACT), [999, 1001], [0, 1])],
)
def test_a_window_of_one_value_or_less_is_a_threshold(window: Window, values: list[int], greys: list[int]) -> None:
    assert apply_voi(np.array(values, np.float32), window).tolist() == greys


TABLE = LookupTable(-7, np.arange(3000, dtype=np.uint16), 12)


@pytest.mark.parametrize("modality", [Rescale(0.5, -1024), TABLE])
@pytest.mark.parametrize("voi", [Window(40.5, 400, VoiFunction.SIGMOID), TABLE])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_display_survives_its_way_between_processes(
    modality: Rescale | LookupTable, voi: Window | LookupTable, inverted: bool
) -> None:
    again = display_from_json(display_to_json(Display(modality, voi, inverted)))

    assert again.inverted == inverted
    for before, after in ((modality, again.modality), (voi, again.voi)):
        if isinstance(before, LookupTable):
            assert isinstance(after, LookupTable)
            assert (after.first, after.bits, after.entries.tolist()) == (
                before.first,
                before.bits,
                before.entries.tolist(),
            )
        else:
            assert after == before


def test_the_decoding_process_passes_the_display_on(tmp_path: Path) -> None:
    path = write(dataset_of(ramp(12), 12, PhotometricInterpretation="MONOCHROME1"), tmp_path)

    with DecodingProcess(DecodeLimits()) as decoder:
        display = decoder.read(path).display

    assert display is not None
    assert (display.modality, display.voi, display.inverted) == (Rescale(), Window(2048, 4096), True)


def by_dcmtk(path: Path, target: Path, *options: str) -> NDArray[np.integer]:
    subprocess.run(["dcm2pnm", *options, "+opb", path, target], check=True, capture_output=True)
    with Image.open(target) as picture:
        return np.asarray(picture).astype(np.int64)


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("attributes", "options"),
    [
        ({}, ("+Wi", "1")),
        ({"WindowCenter": 1500, "WindowWidth": 2000}, ("+Wi", "1")),
        ({"WindowCenter": 900, "WindowWidth": 1500, "RescaleSlope": 0.5, "RescaleIntercept": -100}, ("+Wi", "1")),
        ({"WindowCenter": 1500, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"}, ("+Wfs", "+Wi", "1")),
        ({"PhotometricInterpretation": "MONOCHROME1"}, ("+Wi", "1")),
        ({"VOILUTSequence": lut(straight(4096, 4095)[::-1], 12)}, ("+Wl", "1")),
        ({"VOILUTSequence": lut(straight(2000, 1023), 10, first=1000)}, ("+Wl", "1")),
    ],
)
def test_dcmtk_shows_the_same(tmp_path: Path, attributes: dict[str, Any], options: tuple[str, ...]) -> None:
    path = write(dataset_of(ramp(12), 12, **attributes), tmp_path)

    shown = 255 * read_radiograph(path, LIMITS).pixels

    assert np.abs(by_dcmtk(path, tmp_path / "picture.pgm", *options) - shown).max() <= 2


def as_header_asks(dataset: Dataset) -> tuple[str, ...]:
    if dataset.get("VOILUTSequence"):
        return ("+Wl", "1")
    return ("+Wi", "1") if dataset.get("WindowCenter") is not None else ()


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("number", range(1, 6))
def test_dcmtk_shows_the_same_of_each_sample(tmp_path: Path, number: int) -> None:
    with as_file(files("patchclip_node.samples")) as folder:
        (path,) = folder.glob(f"sample-{number}-*.dcm")
        radiograph, dataset = read_radiograph(path), dcmread(path)
    dataset.decompress(generate_instance_uid=False)
    plain = write(dataset, tmp_path)

    shown = by_dcmtk(plain, tmp_path / "picture.pgm", *as_header_asks(dataset))

    assert np.abs(shown - 255 * radiograph.pixels).max() <= 2


@pytest.mark.parametrize(
    "window", [{"WindowCenter": 32768, "WindowWidth": 65536}, {"WindowCenter": 500, "WindowWidth": 40}]
)
def test_as_stated_a_window_is_followed_though_it_shows_little(tmp_path: Path, window: dict[str, Any]) -> None:
    path = write(dataset_of(ramp(12), 12, **window), tmp_path)

    judged, stated = (read_radiograph(path, LIMITS, as_stated=as_stated).display for as_stated in (False, True))

    assert judged is not None
    assert stated is not None
    asked = Window(window["WindowCenter"], window["WindowWidth"])
    assert (judged.voi == asked, stated.voi == asked) == (False, True)
