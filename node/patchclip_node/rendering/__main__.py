"""The killable side of `patchclip-node render`: draws one object within limits, answers with a line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from patchclip_core.errors import PatchClipError
from patchclip_core.io import DecodeLimits, limited_child
from patchclip_node.domain.errors import NodeError
from patchclip_node.rendering.render import render


def main(argv: Sequence[str]) -> None:
    """Draw `OBJECT IMAGE PNG`, under the limits before them; then: whether anyway."""
    limits, arguments, answers = limited_child.enter(argv)
    with limited_child.bounded(limits):
        object_path, image_path, png_path = map(Path, arguments[:3])
        answer = _drawn(object_path, image_path, png_path, limits, anyway=arguments[3] == "anyway")
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _drawn(
    object_path: Path, image_path: Path, png_path: Path, limits: DecodeLimits, *, anyway: bool
) -> dict[str, str]:
    try:
        picture = render(object_path, image_path, limits, anyway=anyway)
        picture.save(png_path, "PNG", compress_level=3)
    except (PatchClipError, NodeError) as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{error.filename or png_path}: {error.strerror or error}"}
    except (MemoryError, RecursionError):
        return {"error": "drawing it takes more memory or is nested more deeply than is allowed"}
    except Exception as error:  # noqa: BLE001 - the boundary to the parent: foreign bytes make readers raise anything
        return {"error": f"the object is damaged or unusual ({type(error).__name__}: {error})"}
    return {"size": f"{picture.width} x {picture.height}"}


if __name__ == "__main__":
    main(sys.argv)
