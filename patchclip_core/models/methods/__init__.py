"""The methods: how findings are said by comparing image and text. A method is one strategy, and one line here."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchclip_core.models.methods.method import Method
    from patchclip_core.models.network import NetworkSettings


@dataclass(frozen=True, slots=True)
class MethodPlace:
    """Where a method is found. It is imported, and torch with it, when it is first asked.

    architecture: what checkpoints call its networks; methods that differ in training alone may share one.
    strategy: 'MODULE:NAME' of its `Method`.
    """

    architecture: str
    strategy: str


METHODS: Mapping[str, MethodPlace] = {
    "patchclip": MethodPlace("patchclip", "patchclip_core.models.methods.patchclip_method:PATCH_CLIP"),
    "paper": MethodPlace("patchclip", "patchclip_core.models.methods.patchclip_method:PAPER"),
    "lrclr": MethodPlace("lrclr", "patchclip_core.models.methods.lrclr_method:LRCLR"),
}
"""By the name that a recipe has for a method: its objective."""


def known_method(name: str) -> str:
    """Return the name, if it is a method's. Raises `ValueError`, which lists those that there are."""
    if name not in METHODS:
        raise ValueError(f"there is no method '{name}'; there are {', '.join(METHODS)}")
    return name


def find_method(name: str) -> Method[Any]:
    """Return a method. Raises `ValueError`, likewise."""
    method: Method[Any] = pkgutil.resolve_name(METHODS[known_method(name)].strategy)
    return method


def architectures() -> frozenset[str]:
    """Return the names of the architectures that methods build."""
    return frozenset(place.architecture for place in METHODS.values())


def settings_of(architecture: str) -> type[NetworkSettings]:
    """Return what networks of an architecture are built from; it is one of `architectures()`."""
    name = next(name for name, place in METHODS.items() if place.architecture == architecture)
    return find_method(name).settings
