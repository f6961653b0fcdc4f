"""Findings to DICOM objects, overlays and JSON: pure functions, no torch, no network, no files.

The same images and context give the same bytes, so a result can be built again after a crash.
"""

from patchclip_node.results.build import build_results
from patchclip_node.results.context import AnalysedImage, Picture, Predecessor, ResultContext, SkippedImage, numbered
from patchclip_node.results.encode import encode
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from patchclip_node.results.gsps import build_gsps
from patchclip_node.results.key_objects import build_ko
from patchclip_node.results.parametric_map import build_parametric_map
from patchclip_node.results.sc import build_sc
from patchclip_node.results.seg import build_fractional_seg, build_seg
from patchclip_node.results.sr import build_sr
from patchclip_node.results.text_sr import build_text_sr

__all__ = [
    "AnalysedImage",
    "DocumentedImage",
    "Picture",
    "Predecessor",
    "ResultContext",
    "SkippedImage",
    "build_fractional_seg",
    "build_gsps",
    "build_ko",
    "build_parametric_map",
    "build_results",
    "build_sc",
    "build_seg",
    "build_sr",
    "build_text_sr",
    "encode",
    "findings_document",
    "numbered",
]
