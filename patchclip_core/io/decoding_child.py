"""The killable side of `DecodingProcess`: reads requests on standard input, answers on standard output.

A request is a line of JSON, {"path": ...}; an answer is a line of JSON, then the pixels where it is a radiograph.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import gdcm  # noqa: F401 - decoders are loaded before limits hold
import jpeg_ls  # noqa: F401
import numpy as np
import openjpeg.utils  # noqa: F401

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import limited_child
from patchclip_core.io.display_json import display_to_json
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.reader import read_radiograph
from patchclip_core.memory import keep_freed_memory
from patchclip_core.values.results import Radiograph


def main(argv: Sequence[str]) -> None:
    """Serve until standard input ends."""
    limits, _, answers = limited_child.enter(argv)
    keep_freed_memory()  # one image after another needs the same
    _answer(answers, {"ready": True})
    for line in sys.stdin.buffer:
        with limited_child.bounded(limits):
            _serve(Path(json.loads(line)["path"]), limits, answers)


def _serve(path: Path, limits: DecodeLimits, answers: BinaryIO) -> None:
    try:
        radiograph = read_radiograph(path, limits)
    except UnsuitableImageError as error:
        _answer(answers, {"unsuitable": str(error)})
    except UnreadableImageError as error:
        _answer(answers, {"unreadable": str(error)})
    except MemoryError:
        _answer(answers, {"unreadable": "decoding needs more memory than is allowed"})
    except Exception as error:  # noqa: BLE001 - the boundary to the parent: it has to learn of everything
        _answer(answers, {"unreadable": f"decoding failed ({type(error).__name__}: {error})"})
    else:
        _answer(answers, _description(radiograph), radiograph)


def _description(radiograph: Radiograph) -> dict[str, Any]:
    return {
        "rows": radiograph.rows,
        "columns": radiograph.columns,
        "pixel_aspect_ratio": radiograph.pixel_aspect_ratio,
        "remarks": list(radiograph.remarks),
        "display": None if radiograph.display is None else display_to_json(radiograph.display),
    }


def _answer(answers: BinaryIO, content: dict[str, Any], radiograph: Radiograph | None = None) -> None:
    answers.write(json.dumps(content).encode() + b"\n")
    if radiograph is not None:
        answers.write(np.ascontiguousarray(radiograph.pixels).data.cast("B"))
    answers.flush()


if __name__ == "__main__":
    main(sys.argv)
