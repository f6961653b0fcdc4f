"""What the product calls itself, in results, associations and own-result detection."""

from __future__ import annotations

from importlib.metadata import version

MANUFACTURER = "Patch-CLIP project"
PRODUCT_NAME = "Patch-CLIP node"
PRODUCT_VERSION = version("patchclip")
IMPLEMENTATION_CLASS_UID = "2.25.263965900703426803664658520668463313266"
"""(0002,0012) and the association's user information, PS3.7 D.3.3.2: one UID for all versions of this product."""
IMPLEMENTATION_VERSION_NAME = f"PATCHCLIP_{PRODUCT_VERSION}"[:16]
