"""The statement of conformance in the form of PS3.2 Annex N, made of what the node negotiates by."""

from patchclip_node.conformance.claims import Claims, claims_of
from patchclip_node.conformance.statement import EDITION, as_html, as_json, as_markdown

__all__ = ["EDITION", "Claims", "as_html", "as_json", "as_markdown", "claims_of"]
