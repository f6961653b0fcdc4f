"""conf/node.yaml shows every setting, and shows it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from patchclip_node.settings import DestinationSettings, NodeSettings, read_settings

FILE = Path(__file__).parents[3] / "conf" / "node.yaml"


def keys_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return all keys of a settings class, nested."""
    nested: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        nested[name] = keys_of(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return nested


def keys_in(content: Any) -> Any:
    return {name: keys_in(value) for name, value in content.items()} if isinstance(content, dict) else None


def test_the_file_names_every_setting_and_no_other() -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    assert keys_in(content) == keys_of(NodeSettings)


def test_the_file_equals_the_defaults() -> None:
    assert read_settings(FILE) == read_settings(None)


@pytest.mark.parametrize("key", list(DestinationSettings.model_fields))
def test_the_example_of_a_destination_names_every_key(key: str) -> None:
    assert f" {key}: " in FILE.read_text(encoding="utf-8").split("Each has these keys:")[1].split("destinations:")[0]


def test_the_example_of_a_destination_is_valid() -> None:
    text = FILE.read_text(encoding="utf-8").split("Each has these keys:")[1].split("destinations:")[0]
    example = yaml.safe_load("\n".join(line.removeprefix("#") for line in text.splitlines()))

    destination = DestinationSettings(**example[0])

    assert destination.objects == DestinationSettings(name="d", ae_title="D", host="h", port=1).objects
