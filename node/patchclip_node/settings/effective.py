"""What the settings come to, key by key: shown, compared, and told apart. Passwords are masked where a person reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import unified_diff
from typing import Any, Final

import yaml
from pydantic import BaseModel

from patchclip_node.domain.masking import masked_url
from patchclip_node.settings.live import takers
from patchclip_node.settings.node import NodeSettings

SECRET_URLS: Final = frozenset({"ledger_url", "broker_url"})


def effective_values(settings: NodeSettings) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value as JSON type) for every setting, passwords included."""
    for name in NodeSettings.model_fields:
        value = getattr(settings, name)
        if not isinstance(value, BaseModel):
            yield name, plain(value)
            continue
        for part in type(value).model_fields:
            yield f"{name}.{part}", plain(getattr(value, part))


def plain(value: Any) -> Any:
    """Return a value of the settings in JSON's types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def masked(key: str, value: Any) -> Any:
    """Return a value as a person may see it."""
    return masked_url(value) if key in SECRET_URLS and isinstance(value, str) else value


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys of the settings whose values differ, in the order of the settings.

    A section that comes or goes as a whole is one key.
    """
    differ = [key for key in {**before, **after} if before.get(key, ...) != after.get(key, ...)]
    return [key for key in differ if "." not in key or key.partition(".")[0] not in differ]


def needing_a_restart(keys: Collection[str]) -> list[str]:
    """Return those of the keys that no running process takes up."""
    return [key for key in keys if not takers(NodeSettings, key)]


def concern(keys: Collection[str], process: str) -> bool:
    """Tell whether a process looks at one of the keys."""
    return any(process in takers(NodeSettings, key) for key in keys)


def difference(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, str]) -> list[str]:
    """Return what changed as the lines of a unified diff of YAML, passwords masked; no line where nothing did."""
    lines = list(unified_diff(_lines(before), _lines(after), *names, n=2, lineterm=""))
    hidden = (key for key in changed_keys(before, after) if masked(key, before.get(key)) == masked(key, after.get(key)))
    return [*lines, *(f"({key}: the password in it differs)" for key in hidden)]


def _lines(values: Mapping[str, Any]) -> list[str]:
    shown = {key: masked(key, value) for key, value in values.items()}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=10_000).splitlines()
