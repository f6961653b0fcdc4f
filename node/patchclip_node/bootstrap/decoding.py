"""What the settings allow the decoding of an image, and the process that keeps to it."""

from __future__ import annotations

from patchclip_core.io import DecodeLimits, DecodingProcess
from patchclip_node.settings import LimitSettings


def decode_limits(limits: LimitSettings) -> DecodeLimits:
    """Return the limits of one decoding."""
    return DecodeLimits(
        max_pixels=limits.max_image_pixels,
        timeout_s=limits.decode_timeout_s,
        memory_bytes=limits.decode_memory_bytes,
    )


def open_decoder(limits: LimitSettings) -> DecodingProcess:
    """Return the child process that decodes within these limits; a context manager."""
    return DecodingProcess(decode_limits(limits))
