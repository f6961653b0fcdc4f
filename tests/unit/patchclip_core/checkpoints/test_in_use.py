"""What only a training looks at leaves the file; answers and everything else stay as they were, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from patchclip_core.checkpoints.checkpoint import load, read_card, verify_weights, write_card
from patchclip_core.checkpoints.in_use import write_in_use
from patchclip_core.errors import CheckpointError
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import INPUT_PX, write_checkpoint


def test_a_checkpoint_without_its_sparse_head_answers_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole, part = write_checkpoint(tmp_path / "whole", "patchclip"), tmp_path / "part"

    card = write_in_use(whole, read_card(whole), part)
    write_card(part, card)

    verify_weights(part, card)
    assert card.settings["sparse"] is None
    before, after = (load_file(folder / "weights.safetensors") for folder in (whole, part))
    assert {name.split(".")[0] for name in before.keys() - after.keys()} == {"sparse_head"}
    assert all(np.array_equal(before[name], weight) for name, weight in after.items())
    pixels = np.random.default_rng(3).random((2, INPUT_PX, INPUT_PX), dtype=np.float32)
    answers = [load(folder, "cpu").analyze_batch([Radiograph(each) for each in pixels]) for folder in (whole, part)]
    for one, other in zip(*answers, strict=True):
        for finding, there in zip(one, other, strict=True):
            assert (finding.key, finding.probability, finding.state) == (there.key, there.probability, there.state)
            assert (finding.patch_map is None) == (there.patch_map is None) == (finding.key == "edema")
            if finding.patch_map is not None and there.patch_map is not None:
                assert np.array_equal(finding.patch_map, there.patch_map)


def test_a_network_that_needs_all_its_weights_is_copied_as_it_is(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path / "whole", "lrclr")

    assert write_in_use(whole, read_card(whole), tmp_path / "part") == read_card(whole)

    verify_weights(tmp_path / "part", read_card(whole))


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path / "whole", "patchclip")
    (whole / "weights.safetensors").write_bytes(b"no tensors")

    with pytest.raises(CheckpointError, match=r"weights\.safetensors is not a safetensors file .* copy the checkpoint"):
        write_in_use(whole, read_card(whole), tmp_path / "part")
