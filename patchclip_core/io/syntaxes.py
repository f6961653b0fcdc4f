"""Transfer syntaxes that pydicom does not know by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

JPEG_XL_SYNTAXES: Final = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
        "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
        "1.2.840.10008.1.2.4.112": "JPEG XL",
    }
)
"""Refused by name (PS3.5 A.4.12): no decoder of them is kept, and pydicom 3.0.2 does not know them."""
