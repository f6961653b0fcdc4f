from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.errors import UnreadableImageError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.notebook import as_radiograph
from patchclip_core.values.results import Radiograph


def test_a_radiograph_is_taken_as_it_is() -> None:
    radiograph = Radiograph(np.zeros((4, 5), np.float32))

    assert as_radiograph(radiograph) is radiograph


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_unsigned_integers_use_the_range_of_their_type(kind: type[np.unsignedinteger]) -> None:
    highest = np.iinfo(kind).max

    pixels = as_radiograph(np.array([[0, highest]], dtype=kind)).pixels

    assert pixels.tolist() == [[0.0, 1.0]]


def test_a_path_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 180), 51, np.uint8)).save(tmp_path / "chest.png")

    for path in (tmp_path / "chest.png", str(tmp_path / "chest.png")):
        assert as_radiograph(path).pixels[0, 0] == pytest.approx(0.2)


def test_a_path_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="cannot be opened"):
        as_radiograph(tmp_path / "nothing.dcm")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 3), np.uint8), "take one channel"),
        (np.zeros((4, 4), np.int16), "could mean any range"),
        (np.full((4, 4), 200.0), "scale them first"),
        (np.full((4, 4), np.nan), "scale them first"),
    ],
)
def test_an_array_that_could_be_misread_is_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        as_radiograph(array)


def test_analyze_says_what_the_batch_says_and_keeps_the_radiograph() -> None:
    model = load("untrained", device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    pixels = np.random.default_rng(0).random((300, 240))

    findings = model.analyze(pixels)

    assert findings.radiograph is not None
    (of_batch,) = model.analyze_batch([findings.radiograph])
    assert [item.probability for item in findings] == [item.probability for item in of_batch]
    assert of_batch.radiograph is None, "a node's batches do not hold on to pixels"
