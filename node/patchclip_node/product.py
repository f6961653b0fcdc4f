"""What the product calls itself, in results, associations and own-result detection."""

from __future__ import annotations

from importlib.metadata import version

MANUFACTURER = "Patch-CLIP project"
PRODUCT_NAME = "Patch-CLIP node"
PRODUCT_VERSION = version("patchclip")
RESEARCH_STATEMENT = "Research software. Not for diagnosis."
