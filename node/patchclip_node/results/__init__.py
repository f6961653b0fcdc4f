"""Findings to DICOM objects, overlays and JSON: pure functions, no torch, no network, no files.

The same images and context give the same bytes, so a result can be built again after a crash.
"""

from patchclip_node.results.build import build_results
from patchclip_node.results.context import AnalysedImage, Predecessor, ResultContext, SkippedImage
from patchclip_node.results.encode import encode
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from patchclip_node.results.seg import build_seg
from patchclip_node.results.sr import build_sr

__all__ = [
    "AnalysedImage",
    "DocumentedImage",
    "Predecessor",
    "ResultContext",
    "SkippedImage",
    "build_results",
    "build_seg",
    "build_sr",
    "encode",
    "findings_document",
]
