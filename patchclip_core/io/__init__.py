"""The one room that reads images: DICOM, PNG and JPEG in, `Radiograph` out. It never imports torch."""

from __future__ import annotations

from patchclip_core.io.decoding_process import DecodingProcess
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.reader import read_radiograph

__all__ = ["DecodeLimits", "DecodingProcess", "read_radiograph"]
