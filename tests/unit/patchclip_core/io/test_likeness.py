"""The pixel check: what it takes for an upright frontal chest radiograph, and what its file has to hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from patchclip_core.errors import ChestCheckFileError
from patchclip_core.io import read_radiograph
from patchclip_core.io.likeness import FEATURES, PICTURE_PX, features, load_likeness, picture
from patchclip_core.values.results import FloatArray
from tests.support.dicom_images import LIMITS

SAMPLES = sorted((Path(__file__).parents[4] / "node/patchclip_node/samples").rglob("*.dcm"))
NOISE = np.random.default_rng(0).random((512, 400), dtype=np.float32)


def pixels_of(path: Path) -> FloatArray:
    return read_radiograph(path, LIMITS).pixels


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_are_chests_and_not_when_turned(path: Path) -> None:
    pixels = pixels_of(path)

    assert load_likeness().recognises(pixels)
    assert not load_likeness().recognises(np.rot90(pixels, 2))


@pytest.mark.parametrize(
    "spoil",
    [np.rot90, lambda chest: chest[::-1], lambda chest: 1 - chest, lambda chest: chest * 0],
    ids=["on its side", "upside down", "inverted", "black"],
)
def test_what_is_made_of_chests_is_less_like_them(spoil: Callable[[FloatArray], FloatArray]) -> None:
    chests = [pixels_of(path) for path in SAMPLES]

    scores = [load_likeness().score(np.ascontiguousarray(spoil(chest))) for chest in chests]

    assert max(scores) < min(load_likeness().score(chest) for chest in chests)


@pytest.mark.parametrize("even", [0.0, 0.5, 1.0])
def test_even_pixels_have_features_that_are_numbers(even: float) -> None:
    found = features(np.full((1, PICTURE_PX, PICTURE_PX), even, dtype=np.float32))

    assert found.shape == (1, FEATURES)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.0), (0.5, 0.4), (0.25, 0.1)])
def test_brightness_and_contrast_do_not_decide(gain: float, offset: float) -> None:
    chest = pixels_of(SAMPLES[0])

    assert load_likeness().recognises((gain * chest + offset).astype(np.float32))


def test_a_picture_is_the_mean_of_what_it_covers_at_any_size() -> None:
    large = NOISE.repeat(4, axis=0).repeat(4, axis=1)

    assert picture(NOISE).mean() == pytest.approx(NOISE.mean(), abs=1e-3)
    assert picture(large) == pytest.approx(picture(NOISE), abs=0.25)
    assert picture(NOISE[:1]).shape == (PICTURE_PX, PICTURE_PX)


@pytest.mark.parametrize("text", ["", "threshold: 0", "made_from: x\nthreshold: .nan\nbias: 0\nweights: [1, 2]"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chest_check.yaml"
    path.write_text(text)

    with pytest.raises(ChestCheckFileError, match=r"chest_check\.yaml"):
        load_likeness(path)
