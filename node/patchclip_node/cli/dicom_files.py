"""Which files are meant by files, folders and patterns that a command is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from patchclip_core.terminal import EXIT_USAGE
from patchclip_node.cli.terminal import complain

FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILES...", help="DICOM files, folders or patterns such as 'in/*.dcm'.", show_default=False),
]


def expanded(sources: Sequence[str]) -> Iterator[Path]:
    """Yield the files that are meant: each file, each DICOM file in a folder, each match of a pattern."""
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found = [file for file in sorted(path.rglob("*")) if file.is_file() and _looks_like_dicom(file)]
            if not found:
                refuse(f"{path}: no DICOM file is in this folder")
            yield from found
        elif path.exists():
            yield path
        elif has_magic(source) and (matches := sorted(glob(source, recursive=True))):  # noqa: PTH207 - absolute patterns too
            yield from (Path(match) for match in matches if Path(match).is_file())
        else:
            refuse(f"{source}: there is no such file")


def _looks_like_dicom(path: Path) -> bool:
    """Tell by the prefix (PS3.10 7.1) or the name; a folder may hold other files, too."""
    if path.suffix.lower() in {".dcm", ".dicom"}:
        return True
    from patchclip_core.io.part10 import START_BYTES, has_prefix

    with path.open("rb") as file:
        return has_prefix(file.read(START_BYTES))


def refuse(message: str) -> NoReturn:
    """End the command: what it was given cannot be used."""
    complain(message)
    raise typer.Exit(EXIT_USAGE)
