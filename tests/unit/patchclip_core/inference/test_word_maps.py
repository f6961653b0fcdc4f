from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.word_maps import word_maps
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import write_checkpoint

IMAGE = Radiograph(np.random.default_rng(0).random((90, 70), dtype=np.float32))


def analyzer(folder: Path, architecture: str) -> NetworkAnalyzer:
    loaded = load(write_checkpoint(folder, architecture), device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


def test_every_word_has_a_map_over_the_selected_patches(tmp_path: Path) -> None:
    found, geometry = word_maps(analyzer(tmp_path, "lrclr"), IMAGE, "Lung opacity, xenolith.")

    assert [word.word for word in found] == ["Lung", "opacity", ",", "xenolith", "."]
    for word in found:
        assert word.map.shape == (geometry.grid.rows, geometry.grid.columns)
        assert word.map.sum() == pytest.approx(1.0, abs=1e-5)
        assert (word.map > 0).sum() <= 16
        assert -1 <= word.similarity <= 1


def test_a_model_without_word_maps_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its architecture 'patchclip' does not tell where words look"):
        word_maps(analyzer(tmp_path, "patchclip"), IMAGE, "opacity")


def test_a_sentence_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no words"):
        word_maps(analyzer(tmp_path, "lrclr"), IMAGE, "  ")
