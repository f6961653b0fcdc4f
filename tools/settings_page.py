"""Writes docs/settings.md from the types of the settings; `--check` only compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from patchclip_node.settings.schema import TAKES_EFFECT, settings_schema

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """# Every setting

This page is written from the code's types (`python tools/settings_page.py`). [conf/node.yaml](../conf/node.yaml) shows
the same settings as a file, with more words; [administrator.md](administrator.md) says what to choose.
`patchclip-node config schema` prints them as a JSON schema, by which an editor completes keys and marks wrong ones as
you write:

    patchclip-node config schema > node.schema.json

An editor with a YAML language server takes it from a first line `# yaml-language-server: $schema=node.schema.json`.

*Takes effect* says how a change reaches a node that runs: at a restart, or by
[`config apply`](commands.md#apply-a-change-config-apply), which drops no association."""
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}
_FORMATS = {"path": "path", "ipv4network": "network", "ipv6network": "network"}


def page() -> str:
    """Return the page."""
    schema = settings_schema()
    parts = [_HEAD, *_table("Settings", schema)]
    for name in _in_order(schema):
        parts += _table(name, schema["$defs"][name])
    return "\n".join(parts) + "\n"


def _table(name: str, described: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| `{key}` | {_kind(of)} | {_default(of)} | {_effect(of)} | {of.get('description', '')} |".replace("  |", " |")
        for key, of in described["properties"].items()
    ]
    return [
        f"\n## {name}\n",
        f"{described['description']}\n",
        "| key | is | default | takes effect | meaning |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _in_order(schema: Mapping[str, Any]) -> list[str]:
    """Return the sections in the order in which the settings name them."""
    found: list[str] = []
    for of in schema["properties"].values():
        _follow(of, schema, found)
    return found


def _follow(of: Any, schema: Mapping[str, Any], found: list[str]) -> None:
    for name in _named(of):
        if "properties" in schema["$defs"][name] and name not in found:
            found.append(name)
            _follow(schema["$defs"][name]["properties"], schema, found)


def _named(of: Any) -> Iterator[str]:
    if isinstance(of, Mapping):
        if "$ref" in of:
            yield str(of["$ref"]).rsplit("/", 1)[-1]
        of = list(of.values())
    if isinstance(of, list):
        for each in of:
            yield from _named(each)


def _kind(of: Mapping[str, Any]) -> str:
    if "$ref" in of:
        name = str(of["$ref"]).rsplit("/", 1)[-1]
        described = settings_schema()["$defs"][name]
        return _values(described["enum"]) if "enum" in described else f"[{name}](#{name.lower()})"
    for alternatives in (of[word] for word in ("anyOf", "oneOf") if word in of):
        return " or ".join(dict.fromkeys(_kind(one) for one in alternatives if one.get("type") != "null"))
    if "enum" in of:
        return _values(of["enum"])
    if of.get("type") == "array":
        return f"list of {_kind(of['items'])}" if "items" in of else "list"
    if of.get("type") == "object":
        inner = of.get("additionalProperties")
        return f"keys with {_kind(inner)}" if isinstance(inner, Mapping) else "keys with values"
    word = _FORMATS.get(of.get("format", ""), _WORDS[of["type"]])
    return word + _bounds(of)


def _bounds(of: Mapping[str, Any]) -> str:
    said = []
    if "exclusiveMinimum" in of:
        said.append(f"above {of['exclusiveMinimum']:g}")
    if "minimum" in of and "maximum" in of:
        said.append(f"{_number(of['minimum'])} to {_number(of['maximum'])}")
    elif "minimum" in of:
        said.append(f"at least {_number(of['minimum'])}")
    elif "maximum" in of:
        said.append(f"at most {_number(of['maximum'])}")
    if "maxLength" in of:
        said.append(f"at most {of['maxLength']} characters")
    return "".join(f", {each}" for each in said)


def _number(value: float) -> str:
    return f"{value:,.15g}"


def _values(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _effect(of: Mapping[str, Any]) -> str:
    """Return how a change reaches a node that runs; of a section its keys say it."""
    return "as below" if _default(of) == "as below" else str(of[TAKES_EFFECT])


def _default(of: Mapping[str, Any]) -> str:
    if "default" not in of:
        return "must be given"
    value = of["default"]
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, Mapping):
        return "as below"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def main() -> int:
    """Write, or with `--check` compare; 1 where the page is not as the types are."""
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
