"""`render`: any result object over its image as a PNG, for a look without a viewer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE, EXIT_USAGE
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.settings import LimitSettings, read_settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Try it")(render)


def render(
    object_file: Annotated[
        Path,
        typer.Argument(
            metavar="OBJECT",
            help="A segmentation, structured report, presentation state, parametric map, key object selection or "
            "Secondary Capture of any maker.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE", help="The DICOM image that it is about.", exists=True, dir_okay=False, show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PNG", dir_okay=False, help="The picture; default: OBJECT with .png."),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Draw it even if the object does not refer to this image.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Draw an object over its image, as a PNG with a legend.

    Segmentations are shown by their outlines, probabilities by heat maps, reports by their regions with names and
    numbers, presentation states with their graphics, text, window and polarity. The whole image is shown. A Secondary
    Capture is its own picture. The object has to refer to the image. Files are read in a process with the limits of the
    configuration (limits.max_image_pixels, max_instance_bytes, decode_timeout_s, decode_memory_bytes).
    """
    limits = read_settings(config).limits
    target = out or object_file.with_suffix(".png")
    for path in (object_file, image):
        if path.stat().st_size > limits.max_instance_bytes:
            complain(f"{path}: larger than limits.max_instance_bytes ({limits.max_instance_bytes})")
            raise typer.Exit(EXIT_USAGE)
    answer = _drawn(object_file, image, target, limits, anyway=anyway)
    if "error" in answer:
        complain(f"{object_file}: {answer['error']}")
        raise typer.Exit(EXIT_FAILURE)
    typer.echo(f"{target}, {answer['size']} pixels")


def _drawn(object_file: Path, image: Path, target: Path, limits: LimitSettings, *, anyway: bool) -> dict[str, str]:
    """Have it drawn by a child process, which may be killed; returns its answer."""
    from patchclip_core.io import limited_child
    from patchclip_node.bootstrap.decoding import decode_limits

    arguments = (str(object_file), str(image), str(target), "anyway" if anyway else "related")
    with limited_child.start("patchclip_node.rendering", decode_limits(limits), arguments) as process:
        try:
            said, _ = process.communicate(timeout=limits.decode_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return {"error": f"drawing took longer than limits.decode_timeout_s ({limits.decode_timeout_s:g} s)"}
    try:
        answer: dict[str, str] = json.loads(said)
    except ValueError:
        how = limited_child.how_it_ended(process)
        return {"error": f"the process that drew it ended without an answer ({how})"}
    return answer
