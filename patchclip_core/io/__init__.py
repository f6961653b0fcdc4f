"""The one room that reads images: DICOM, PNG and JPEG in, `Radiograph` out. It never imports torch.

What reads is imported when it is first used: words and limits need neither numpy nor pydicom.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from patchclip_core.io.limits import DecodeLimits

if TYPE_CHECKING:
    from patchclip_core.io.decoding_process import DecodingProcess
    from patchclip_core.io.reader import read_radiograph

__all__ = ["DecodeLimits", "DecodingProcess", "read_radiograph"]

_READING = {"DecodingProcess": "decoding_process", "read_radiograph": "reader"}


def __getattr__(name: str) -> Any:
    """Resolve what reads images on first use."""
    if name not in _READING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_READING[name]}"), name)
