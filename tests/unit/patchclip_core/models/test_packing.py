from __future__ import annotations

import pytest
import torch

from patchclip_core.models.packing import Packing, pack, unpack


def _weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "text.matrix": torch.randn(80, 64) * torch.logspace(-4, 2, 80)[:, None],
        "text.bias": torch.randn(64),
        "trunk.kernel": torch.randn(8, 4, 3, 3),
        "head": torch.randn(80, 64),
    }


def test_a_row_of_any_size_is_kept_to_half_a_step() -> None:
    before = _weights()["text.matrix"]

    after = unpack(pack(_weights(), {"text.": "int8"}))["text.matrix"]

    step = before.abs().amax(dim=1, keepdim=True) / 127
    assert bool(((after - before).abs() <= 0.5001 * step).all())


def test_rounding_twice_changes_nothing() -> None:
    packings: dict[str, Packing] = {"text.": "int8", "trunk.": "float16"}

    once = unpack(pack(_weights(), packings))
    twice = unpack(pack(once, packings))

    for name, weight in once.items():
        torch.testing.assert_close(twice[name], weight, rtol=1e-6, atol=0)


def test_only_what_is_named_is_packed_and_small_things_keep_their_bits() -> None:
    packed = pack(_weights(), {"text.": "int8", "trunk.": "float16"})

    kinds = {name: weight.dtype for name, weight in packed.items()}
    assert kinds == {
        "text.matrix": torch.int8,
        "text.matrix.row_scale": torch.float32,
        "text.bias": torch.float32,
        "trunk.kernel": torch.float16,
        "head": torch.float32,
    }


def test_a_row_of_zeros_stays_zero() -> None:
    weights = {"text.matrix": torch.zeros(80, 64)}

    assert not unpack(pack(weights, {"text.": "int8"}))["text.matrix"].any()


@pytest.mark.parametrize("packing", ["int8", "float16"])
def test_names_and_shapes_come_back(packing: str) -> None:
    packings = {"": packing}

    after = unpack(pack(_weights(), packings))  # type: ignore[arg-type]  # one of the two

    assert {name: weight.shape for name, weight in after.items()} == {
        name: weight.shape for name, weight in _weights().items()
    }
