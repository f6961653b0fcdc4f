"""The radiograph itself, for a canvas: grey values of 16 bits, no larger than a screen shows."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from starlette.exceptions import HTTPException

from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError, UnsuitableImageError
from patchclip_core.terminal import missing_extra, require_package
from patchclip_core.values.results import Radiograph
from patchclip_node.domain.errors import DamagedFileError, SpoolUnavailableError
from patchclip_node.domain.records import InstanceRecord
from patchclip_node.ports.spool import Spool

LONGEST_SIDE_PX: Final = 1280
_KEPT: Final = 8
"""Pictures that are kept in memory, about 2 MB each: who looks at a study looks again."""


class Decoder(Protocol):
    """Turns a file into pixels, in a process that can be killed."""

    def read(self, path: Path) -> Radiograph:
        """Decode; raises `UnreadableImageError`, `UnsuitableImageError`, `DecoderTimeoutError`."""
        ...


@dataclass(frozen=True, slots=True)
class CanvasPicture:
    """Square pixels. content: gzip of rows * columns unsigned 16-bit values, little-endian, row by row."""

    rows: int
    columns: int
    content: bytes


class Pictures:
    """Decodes images of the spool, one at a time; for several threads."""

    def __init__(self, spool: Spool, decoder: Decoder) -> None:
        self._spool = spool
        self._decoder = decoder
        self._kept: OrderedDict[str, CanvasPicture] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, spool_key: str) -> CanvasPicture:
        """Return the picture of a file; 404 where it is no longer there, 422 where it shows nothing."""
        with self._lock:
            found = self._kept.get(spool_key) or self._decoded(spool_key)
            self._kept[spool_key] = found
            self._kept.move_to_end(spool_key)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found

    def can_show(self, record: InstanceRecord) -> bool:
        """Tell whether the spool holds an image's file. Whether it shows anything is known when it is decoded."""
        if record.instance.spool_key is None:
            return False
        try:
            return self._spool.holds(record.instance.spool_key)
        except SpoolUnavailableError:
            return False

    def _decoded(self, spool_key: str) -> CanvasPicture:
        try:
            require_package("gdcm")  # it is missed here, and not in the child that decodes
            with self._spool.local_path(spool_key) as path:
                return canvas_picture(self._decoder.read(path))
        except FileNotFoundError as error:
            raise HTTPException(404, "the image is no longer in the spool") from error
        except (UnreadableImageError, UnsuitableImageError, DecoderTimeoutError, DamagedFileError) as error:
            raise HTTPException(422, f"the image cannot be shown: {error}") from error
        except ModuleNotFoundError as error:
            if (words := missing_extra(error)) is None:
                raise
            raise HTTPException(501, f"the image cannot be shown: {words}") from error


def canvas_picture(radiograph: Radiograph) -> CanvasPicture:
    """Return a radiograph as it is displayed (its VOI transform applied), with square pixels."""
    import numpy as np  # noqa: PLC0415 - a machine may show pages without being able to show images
    from PIL import Image  # noqa: PLC0415 - likewise

    height, width = radiograph.rows * radiograph.pixel_aspect_ratio, radiograph.columns
    scale = min(1.0, LONGEST_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(radiograph.pixels).resize(size, Image.Resampling.BOX)
    values = np.rint(np.clip(np.asarray(small), 0.0, 1.0) * 65_535).astype("<u2")
    return CanvasPicture(size[1], size[0], gzip.compress(values.tobytes(), compresslevel=1, mtime=0))


__all__ = ["CanvasPicture", "Decoder", "Pictures", "canvas_picture"]
