"""The table of methods: what core and trainer ask of each is there, and no other module tells methods apart."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import patchclip_core
import patchclip_trainer
from patchclip_core.checkpoints.checkpoint import find, read_card, shipped
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.losses import LossWeights, bounded_scale
from patchclip_core.models.methods import METHODS, architectures, find_method, settings_of
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Tokens
from patchclip_core.places.targets import Targets

CHOSEN: dict[str, Any] = {
    "input_px": 32,
    "embedding": 8,
    "image_tower": CompactImageSettings(input_px=16, widths=(16,), strides=(4,), layers=1, attention_heads=2),
    "text_tower": CompactTextSettings(vocabulary=50, width=16, layers=1, attention_heads=2),
    "downscaler": DownscalerSettings(channels=(1, 1), kernel=4),
    "mode": "default",
}
ROOMS = [Path(package.__file__ or "").parent for package in (patchclip_core, patchclip_trainer)]


def network_of(name: str) -> FindingsNetwork:
    torch.manual_seed(0)
    return find_method(name).describe(CHOSEN).build()


def tokens(count: int) -> Tokens:
    ids = torch.randint(1, 50, (count, 5), generator=torch.Generator().manual_seed(1))
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))


def images() -> torch.Tensor:
    return torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", METHODS)
def test_the_first_of_what_stage_1_compares_are_the_global_embeddings(name: str) -> None:
    method, network = find_method(name), network_of(name).eval()

    with torch.no_grad():
        of_images, of_reports = method.image_rows(network, images()), method.report_rows(network, tokens(3))

        torch.testing.assert_close(of_images[0], network.encode_image(images()))
        torch.testing.assert_close(of_reports[0], network.encode_text(tokens(3)))
    assert {len(part) for part in of_images} == {2}
    assert {len(part) for part in of_reports} == {3}
    assert of_images[0].norm(dim=-1) == pytest.approx(torch.ones(2))


@pytest.mark.parametrize("name", METHODS)
def test_what_stage_1_trains_besides_towers_is_named_by_the_method(name: str) -> None:
    method, network = find_method(name), network_of(name)
    rows = method.image_rows(network, images()), method.report_rows(network, tokens(2))
    loss = method.report_loss(network, *rows, torch.eye(2, dtype=torch.bool))
    loss.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    learning = {key for key, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}

    towers = ("downscaler.", "image_tower.", "text_tower.")
    assert all(key.startswith((*towers, *method.projections, *method.scales)) for key in learning)
    for start in (*method.projections, *method.scales):
        assert any(key.startswith(start) for key in learning), start


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_is_of_parts_that_are_numbers_and_reaches_image_and_text(name: str) -> None:
    method, network = find_method(name), network_of(name)
    texts = network.embed_findings(tokens(4), [1, 1, 1, 1])
    patches = network.grid.rows * network.grid.columns
    known = torch.ones(2, 2, patches, dtype=torch.bool)
    targets = Targets(
        image=torch.eye(2),
        image_known=known[..., 0],
        patches=known.float() / 2,
        patches_known=known,
        bags=~known,
        weights=torch.ones(2, 2, patches),
    )

    loss = method.findings_loss(network, images(), texts, targets, LossWeights())
    loss.total.backward()  # type: ignore[no-untyped-call]  # likewise

    assert {"overall", "patches"} <= set(loss.parts)
    assert all(part.ndim == 0 and bool(part.isfinite()) for part in loss.parts.values())
    for side in ("image_tower.", "text_tower."):
        assert any(weight.grad is not None for key, weight in network.named_parameters() if key.startswith(side))


def test_the_paper_s_mode_and_downscaler_follow_the_method() -> None:
    settings = {name: find_method(name).describe(CHOSEN) for name in ("patchclip", "paper")}

    found = [(name, item.model_dump()["mode"], item.downscaler) for name, item in settings.items()]

    assert found == [
        ("patchclip", "default", DownscalerSettings(channels=(1, 1), kernel=4)),
        ("paper", "paper", DownscalerSettings(channels=(1, 1), kernel=4, last_relu=True)),
    ]
    assert find_method("paper").whole_patches
    assert not find_method("patchclip").whole_patches
    assert find_method("paper").objection(settings["patchclip"]) == (
        "its mode is 'default', where this method has 'paper'"
    )
    assert find_method("paper").objection(settings["paper"]) == ""


def test_a_bank_is_compared_with_by_the_methods_that_say_so() -> None:
    assert {name: find_method(name).takes_bank for name in METHODS} == {
        "patchclip": True,
        "paper": True,
        "lrclr": False,
    }


def test_checkpoints_are_read_by_their_architecture() -> None:
    assert architectures() == {"patchclip", "lrclr"}
    for name, place in METHODS.items():
        assert settings_of(place.architecture) is find_method(name).settings


@pytest.mark.parametrize("name", shipped())
def test_the_settings_of_a_shipped_card_are_written_as_they_were_read(name: str) -> None:
    card = read_card(find(name))

    written = settings_of(card.architecture).model_validate(card.settings).model_dump(mode="json")

    assert json.dumps(written) == json.dumps(card.settings)


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no method 'clip'; there are patchclip, paper, lrclr"):
        find_method("clip")


def test_stage_1_of_patch_clip_is_the_contrast_of_global_embeddings() -> None:
    method, network = find_method("patchclip"), network_of("patchclip").eval()
    of_images, of_reports = method.image_rows(network, images()), method.report_rows(network, tokens(2))
    logits = bounded_scale(network.logit_scale) * of_images[0] @ of_reports[0].T
    right = torch.arange(2)
    expected = (
        torch.nn.functional.cross_entropy(logits, right) + torch.nn.functional.cross_entropy(logits.T, right)
    ) / 2

    found = method.report_loss(network, of_images, of_reports, torch.eye(2, dtype=torch.bool))

    torch.testing.assert_close(found.total, expected)


def test_nobody_but_the_methods_imports_their_networks() -> None:
    """A branch over methods needs their classes: only what is of Patch-CLIP by its own name knows one."""
    of_patch_clip = {"checkpoints/model_recipe.py", "checkpoints/untrained.py"}
    knowing = set()
    for room in ROOMS:
        for path in room.rglob("*.py"):
            if path.parent.name == "methods":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                if module.startswith("patchclip_core.models.methods.") and not module.endswith(".method"):
                    knowing.add(str(path.relative_to(room)))

    assert knowing == of_patch_clip
