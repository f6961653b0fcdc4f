"""The killable side of `patchclip-node render`: draws one object within limits, answers with a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from patchclip_core.errors import PatchClipError
from patchclip_core.io import DecodeLimits
from patchclip_node.domain.errors import NodeError
from patchclip_node.rendering.render import render


def main(arguments: list[str]) -> None:
    """Draw `OBJECT IMAGE PNG` under the limits that follow (pixels, seconds, bytes of memory); then: whether anyway."""
    object_path, image_path, png_path = map(Path, arguments[:3])
    limits = DecodeLimits(int(arguments[3]), float(arguments[4]), int(arguments[5]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what decoders print must not get into the answer
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        picture = render(object_path, image_path, limits, anyway=arguments[6] == "anyway")
        picture.save(png_path, "PNG", compress_level=3)
    except (PatchClipError, NodeError) as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"{error.filename or png_path}: {error.strerror or error}"}
    except (MemoryError, RecursionError):
        answer = {"error": "drawing it takes more memory or is nested more deeply than is allowed"}
    except Exception as error:  # noqa: BLE001 - the boundary to the parent: foreign bytes make readers raise anything
        answer = {"error": f"the object is damaged or unusual ({type(error).__name__}: {error})"}
    else:
        answer = {"size": f"{picture.width} x {picture.height}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
