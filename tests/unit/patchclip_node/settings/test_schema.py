"""The schema has the keys of the settings and no others, and says what each means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from patchclip_node.settings import NodeSettings
from patchclip_node.settings.schema import DIALECT, settings_schema
from patchclip_node.settings.sections import DestinationSettings

SHIPPED = Path(__file__).parents[4] / "conf" / "node.yaml"


def parts() -> dict[str, Any]:
    """Return each part of the schema that has keys, the whole as ''."""
    schema = settings_schema()
    return {"": schema} | {name: part for name, part in schema["$defs"].items() if "properties" in part}


def test_every_key_says_what_it_means() -> None:
    silent = [
        f"{name}.{key}"
        for name, part in parts().items()
        for key, of in part["properties"].items()
        if not of.get("description")
    ]

    assert silent == [], "write what it means below the field"


def test_keys_that_do_not_exist_are_refused_at_each_level() -> None:
    assert [name for name, part in parts().items() if part["additionalProperties"] is not False] == []


def test_the_keys_are_those_of_the_settings() -> None:
    assert parts()[""]["properties"].keys() == NodeSettings.model_fields.keys()
    assert parts()["DestinationSettings"]["properties"].keys() == DestinationSettings.model_fields.keys()
    assert set(parts()["DestinationSettings"]["required"]) == {"name", "ae_title", "host", "port"}


def test_the_shipped_file_has_keys_of_the_schema_alone() -> None:
    shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))

    assert shipped.keys() <= parts()[""]["properties"].keys()
    assert settings_schema()["$schema"] == DIALECT
