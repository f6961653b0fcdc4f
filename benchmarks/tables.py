"""What a benchmark found, as rows of named values: printed as Markdown, and kept as JSON for `benchmarks.bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str | int | float]


def head(row: Row) -> str:
    """Return the two first lines of a table with rows like this one."""
    return f"| {' | '.join(row)} |\n{'|---' * len(row)}|"


def line(row: Row) -> str:
    """Return a row as a line of Markdown."""
    return f"| {' | '.join(f'{value:,}' if isinstance(value, int) else str(value) for value in row.values())} |"


def markdown(rows: Sequence[Row]) -> str:
    """Return a table of rows that all have the same names."""
    return "\n".join([head(rows[0]), *map(line, rows)])


def keep(rows: Sequence[Row], path: Path | None) -> None:
    """Write rows as JSON, where a file is named for them."""
    if path is not None:
        path.write_text(json.dumps(list(rows), indent=2) + "\n", encoding="utf-8")


__all__ = ["Row", "head", "keep", "line", "markdown"]
