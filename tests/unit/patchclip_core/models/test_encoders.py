"""The table of families: each module is what its line says, and settings are read by their kind."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from patchclip_core.errors import CheckpointError
from patchclip_core.models import encoders
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.encoders import IMAGE_FAMILIES, TEXT_FAMILIES, Families
from patchclip_core.models.methods.patchclip import PatchClipSettings
from patchclip_core.models.towers import ImageSettings, TextSettings, Wanted

SIDES: list[Any] = [(IMAGE_FAMILIES, ImageSettings), (TEXT_FAMILIES, TextSettings)]
SETTINGS = {
    "input_px": 32,
    "embedding": 8,
    "image_tower": {"kind": "compact", "input_px": 32},
    "text_tower": {"kind": "compact", "vocabulary": 9},
}
ROOMS = Path(encoders.__file__).parents[2] / "patchclip_core"


@pytest.mark.parametrize(("families", "base"), SIDES)
def test_each_line_names_a_family_of_that_kind(families: Families[Any], base: type) -> None:
    for kind in families:
        assert issubclass(families.of(kind), base)
        assert families.of(kind).model_fields["kind"].default == kind


@pytest.mark.parametrize(("families", "base"), SIDES)
def test_choices_are_fields_and_known_names_find_their_family(families: Families[Any], base: type) -> None:
    for kind in families:
        family = families.of(kind)
        assert family.choices <= set(family.model_fields)
        assert bool(family.named)
        for name, source in family.named.items():
            assert families.names()[name].partition(":") == (kind, ":" if source else "", source)


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"image_tower": {"kind": "resnet"}}, ("image_tower",), "no family of encoders 'resnet'; there are compact, "),
        ({"text_tower": {"vocabulary": 9}}, ("text_tower",), "name its family: kind"),
        ({"image_tower": {"kind": "compact", "widths": [2]}}, ("image_tower", "widths", 0), "greater than or equal"),
        ({"image_tower": {"kind": "compact", "wide": 2}}, ("image_tower", "wide"), "not permitted"),
        ({"image_tower": CompactTextSettings(vocabulary=9)}, ("image_tower",), "CompactImageSettings"),
    ],
)
def test_a_wrong_tower_is_named_by_its_place(change: dict[str, Any], place: tuple[object, ...], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PatchClipSettings.model_validate(SETTINGS | change)

    (first, *_) = refused.value.errors()
    assert first["loc"] == place
    assert said in first["msg"]


def test_settings_of_a_tower_are_kept_whole_when_they_are_written() -> None:
    settings = PatchClipSettings.model_validate(SETTINGS)

    written = settings.model_dump(mode="json")

    assert written["image_tower"]["widths"] == [32, 64, 96]
    assert PatchClipSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"input_px": 64}, "have no option input_px; their options are: attention_heads, channels, layers, strides"),
        ({"depth": 2, "width": 3}, "no option depth, width"),
        ({"widths": "many"}, "widths: Input should be a valid tuple"),
    ],
)
def test_what_a_recipe_cannot_choose_is_named(choices: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        CompactImageSettings.from_recipe(Wanted("", choices, 32))


def test_nothing_but_a_family_s_module_and_the_table_knows_a_family() -> None:
    """A ladder over towers needs their names: no module imports them, but those that make a model of fixed towers."""
    families = {"auto", "clip", "compact", "efficientnet"}
    of_fixed_towers = {"checkpoints/untrained.py", "checkpoints/convert.py", "models/methods/patchclip.py"}
    knowing = set()
    for path in ROOMS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if module.removeprefix("patchclip_core.models.") in families:
                knowing.add(str(path.relative_to(ROOMS)))

    assert knowing == of_fixed_towers
