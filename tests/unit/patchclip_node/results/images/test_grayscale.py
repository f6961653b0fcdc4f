from __future__ import annotations

import numpy as np
import pytest

from patchclip_core.io.display import apply_voi
from patchclip_core.values.display import Display, LookupTable, Rescale, VoiFunction, Window
from patchclip_node.results.images.grayscale import softcopy_modules


def table(first: int, count: int, bits: int) -> LookupTable:
    entries = np.rint(np.linspace(0, (1 << bits) - 1, count)).astype(np.uint16)
    return LookupTable(first, entries, bits)


@pytest.mark.parametrize(("inverted", "shape"), [(True, "INVERSE"), (False, "IDENTITY")])
def test_the_polarity_is_that_of_the_analysis(inverted: bool, shape: str) -> None:
    assert softcopy_modules(Display(Rescale(), Window(1, 2), inverted)).PresentationLUTShape == shape


@pytest.mark.parametrize(
    "window",
    [
        Window(2000, 3000),
        Window(0.5, 0.25, VoiFunction.LINEAR_EXACT),
        Window(0.5, 2, VoiFunction.SIGMOID),  # too narrow for a table of whole inputs
        Window(0, 1e6, VoiFunction.SIGMOID),  # and too wide
    ],
)
def test_a_window_is_written_with_its_function(window: Window) -> None:
    (voi,) = softcopy_modules(Display(Rescale(), window)).SoftcopyVOILUTSequence

    assert (voi.WindowCenter, voi.WindowWidth) == (window.centre, window.width)
    assert voi.get("VOILUTFunction", "LINEAR") == window.function.value


@pytest.mark.parametrize("window", [Window(1500, 1000, VoiFunction.SIGMOID), Window(20000, 4000, VoiFunction.SIGMOID)])
def test_a_sigmoid_is_written_as_the_table_that_shows_the_same(window: Window) -> None:
    (voi,) = softcopy_modules(Display(Rescale(), window)).SoftcopyVOILUTSequence

    (item,) = voi.VOILUTSequence
    entries = np.frombuffer(item.LUTData, "<u2")
    values = np.arange(item.LUTDescriptor[1], item.LUTDescriptor[1] + len(entries), dtype=np.float32)
    assert entries / 65535 == pytest.approx(apply_voi(values, window), abs=1e-4)
    assert (entries[0] / 65535, entries[-1] / 65535) == pytest.approx((0, 1), abs=3e-3)


@pytest.mark.parametrize("value", [1 / 3, -1234567.890123456, 1e-12, 65535.5, -0.1, 2.0**40 / 7])
def test_numbers_fit_a_decimal_string(value: float) -> None:
    state = softcopy_modules(Display(Rescale(value, value), Window(value, 7.1)))

    for written in (state.RescaleSlope, state.RescaleIntercept, state.SoftcopyVOILUTSequence[0].WindowCenter):
        assert len(str(written)) <= 16  # PS3.5 6.2
        assert float(written) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("rescale", [Rescale(2, -5), Rescale(1, -1024), Rescale(-1, 4095)])
def test_a_rescaling_is_kept_also_where_only_its_intercept_says_something(rescale: Rescale) -> None:
    state = softcopy_modules(Display(rescale, Window(1, 2)))

    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (rescale.slope, rescale.intercept, "US")


@pytest.mark.parametrize(
    ("first", "count", "bits", "vr", "descriptor"),
    [
        (0, 4096, 12, "US", [4096, 0, 12]),
        (100, 256, 8, "US", [256, 100, 8]),
        (0, 65536, 16, "US", [0, 0, 16]),
        (-1024, 4096, 12, "SS", [4096, -1024, 12]),
        (-32768, 65536, 10, "SS", [0, -32768, 10]),
        (-5, 40000, 16, "SS", [40000, -5, 16]),
    ],
)
def test_a_table_is_written_as_words_with_its_own_bits(
    first: int, count: int, bits: int, vr: str, descriptor: list[int]
) -> None:
    (voi,) = softcopy_modules(Display(Rescale(), table(first, count, bits))).SoftcopyVOILUTSequence

    (item,) = voi.VOILUTSequence
    assert (item["LUTDescriptor"].VR, list(item.LUTDescriptor)) == (vr, descriptor)
    assert item["LUTData"].VR == "OW"
    assert np.frombuffer(item.LUTData, "<u2").tolist() == table(first, count, bits).entries.tolist()
    assert "WindowCenter" not in voi


def test_a_modality_table_has_a_type_and_no_rescaling_beside_it() -> None:
    state = softcopy_modules(Display(table(0, 4096, 12), Window(2048, 4096)))

    (item,) = state.ModalityLUTSequence
    assert (item.ModalityLUTType, list(item.LUTDescriptor)) == ("US", [4096, 0, 16])
    assert "RescaleSlope" not in state
