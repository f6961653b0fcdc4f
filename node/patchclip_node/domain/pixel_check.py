"""What becomes of an image whose pixels do not look like a frontal chest radiograph."""

from __future__ import annotations

from enum import StrEnum


class PixelCheck(StrEnum):
    """OFF: they are not asked. REMARK: it is analysed, and every result says so. REJECT: it is not analysed."""

    OFF = "off"
    REMARK = "remark"
    REJECT = "reject"
