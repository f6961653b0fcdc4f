"""What the node receives, and takes back: SOP classes and transfer syntaxes. All else is refused at negotiation."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from patchclip_node.domain.verdicts import VerdictSource

COMPUTED_RADIOGRAPHY: Final = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"

STORAGE_SOP_CLASSES: Final = MappingProxyType(
    {
        COMPUTED_RADIOGRAPHY: "Computed Radiography Image Storage",
        DX_FOR_PRESENTATION: "Digital X-Ray Image Storage - For Presentation",
        DX_FOR_PROCESSING: "Digital X-Ray Image Storage - For Processing",
        SECONDARY_CAPTURE: "Secondary Capture Image Storage",
    }
)
"""SOP Class UID -> name (PS3.4 B.5)."""

RESULT_SOP_CLASSES: Final = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR Storage",
        "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR Storage",
        "1.2.840.10008.5.1.4.1.1.88.59": "Key Object Selection Document Storage",
        "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
        "1.2.840.10008.5.1.4.1.1.11.1": "Grayscale Softcopy Presentation State Storage",
        "1.2.840.10008.5.1.4.1.1.30": "Parametric Map Storage",
    }
)
"""SOP Class UID -> name of what the node makes and never analyses: taken back from a PACS that sends a whole study."""

MADE_SOP_CLASSES: Final = frozenset({*RESULT_SOP_CLASSES, SECONDARY_CAPTURE})
"""All that the node makes: no object of another class can be the node's."""

READERS_SOP_CLASSES: Final = RESULT_SOP_CLASSES | MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
        "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR Storage",
    }
)
"""SOP Class UID -> name of what readers make in their viewers of images and results: kept, and read for verdicts."""

VERDICT_SOURCES: Final = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.88.33": VerdictSource.REPORT,
        "1.2.840.10008.5.1.4.1.1.88.22": VerdictSource.REPORT,
        "1.2.840.10008.5.1.4.1.1.88.34": VerdictSource.REPORT,
        "1.2.840.10008.5.1.4.1.1.88.59": VerdictSource.KEY_OBJECTS,
        "1.2.840.10008.5.1.4.1.1.66.4": VerdictSource.SEGMENTATION,
        "1.2.840.10008.5.1.4.1.1.66.7": VerdictSource.SEGMENTATION,
        "1.2.840.10008.5.1.4.1.1.11.1": VerdictSource.PRESENTATION_STATE,
        "1.2.840.10008.5.1.4.1.1.30": VerdictSource.SEGMENTATION,
    }
)
"""SOP Class UID -> what a verdict that it holds says of where it came from."""

TRANSFER_SYNTAXES: Final = MappingProxyType(
    {
        "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
        "1.2.840.10008.1.2": "Implicit VR Little Endian",
        "1.2.840.10008.1.2.4.70": "JPEG Lossless, First-Order Prediction (Process 14, Selection Value 1)",
        "1.2.840.10008.1.2.4.57": "JPEG Lossless (Process 14)",
        "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.81": "JPEG-LS Lossy (Near-Lossless)",
        "1.2.840.10008.1.2.4.90": "JPEG 2000 (Lossless Only)",
        "1.2.840.10008.1.2.4.91": "JPEG 2000",
        "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 (Lossless Only)",
        "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
        "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
        "1.2.840.10008.1.2.5": "RLE Lossless",
        "1.2.840.10008.1.2.4.50": "JPEG Baseline (Process 1)",
        "1.2.840.10008.1.2.4.51": "JPEG Extended (Process 2 & 4)",
    }
)
"""Transfer Syntax UID -> name (PS3.5 10 and annex A); `scp.syntaxes` says which is accepted of several.

Deflated Explicit VR Little Endian is missing on purpose: nothing bounds what it inflates to. Explicit VR Big Endian is
retired. JPEG XL (.110 to .112) is missing until a decoder of it is kept.
"""

LOSSY_SYNTAXES: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.203",
    }
)
"""Those whose pixels may have been compressed with loss (PS3.5 8.2)."""
