"""Draws the rooms of docs/architecture.md from the imports of the code; `--check` only compares.

A room is a package or module directly below `patchclip_core`, `patchclip_node` or `patchclip_trainer`. An arrow points
from a room to one that it imports. An arrow that others already imply is left out: where a imports b and c, and b
imports c, a -> c is not drawn. Imports for type checkers alone count too, since they bind rooms as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
PACKAGES = ("patchclip_core", "patchclip_node", "patchclip_trainer")
_MARKED = re.compile(r"(<!-- rooms -->\n).*?(<!-- /rooms -->)", re.DOTALL)

Edge = tuple[str, str]


def rooms() -> tuple[set[str], set[Edge]]:
    """Return all rooms by their dotted names, and which imports which."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    named = {child for package in PACKAGES for child in graph.find_children(package)}
    found = {room for room in named if not room.rpartition(".")[2].startswith("_")}
    imports = {
        (_room_of(module), _room_of(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return found, {(a, b) for a, b in imports if a != b and a in found and b in found}


def _room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def without_implied(edges: Iterable[Edge]) -> set[Edge]:
    """Return the fewest of the edges that still lead wherever all of them lead.

    Edges in circles are tried in the order of their names, so that the same graph gives the same picture.
    """
    kept = set(edges)
    for edge in sorted(kept):
        if _leads(kept - {edge}, *edge):
            kept.remove(edge)
    return kept


def _leads(edges: set[Edge], start: str, end: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        for a, b in edges:
            if a == here and b not in seen:
                seen.add(b)
                waiting.append(b)
    return end in seen


def diagram(found: set[str], edges: set[Edge]) -> str:
    """Return the rooms as Mermaid text, a box for each package; between packages, an arrow from package to package."""
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        lines.append(f"    subgraph {package}")
        inside = {(a, b) for a, b in edges if a.startswith(f"{package}.") and b.startswith(f"{package}.")}
        joined = {room for edge in inside for room in edge}
        alone = sorted(room for room in found - joined if room.startswith(f"{package}."))
        lines += [f"        {_box(room)}" for room in alone]
        lines += [f"        {_box(a)} --> {_box(b)}" for a, b in sorted(without_implied(inside))]
        lines.append("    end")
    between = {(a.partition(".")[0], b.partition(".")[0]) for a, b in edges}
    lines += [f"    {a} --> {b}" for a, b in sorted(between) if a != b]
    return "\n".join([*lines, "```"])


def _box(room: str) -> str:
    package, name = room.split(".")
    return f"{package.removeprefix('patchclip_')}_{name}[{name}]"


def drawn(page: str) -> str:
    """Return the page with its picture drawn again. Raises `ValueError` where a marker is missing or doubled."""
    page, count = _MARKED.subn(lambda match: f"{match[1]}{diagram(*rooms())}\n{match[2]}", page)
    if count != 1:
        raise ValueError("docs/architecture.md needs the markers <!-- rooms --> and <!-- /rooms --> exactly once")
    return page


def main() -> int:
    """Write, or with `--check` compare; 1 when the picture is out of date."""
    present = PAGE.read_text(encoding="utf-8")
    current = drawn(present)
    if "--check" in sys.argv:
        return int(current != present)
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
