"""Findings to DICOM objects and JSON: pure functions, no torch, no network, no files.

`source` reads the facts of an image once, `build` makes every object of them. The same images and context give the same
bytes, so a result can be built again after a crash.
"""

from patchclip_node.dicom.writing import encode
from patchclip_node.results.build import build_results, each_result
from patchclip_node.results.context import Predecessor, ResultContext, numbered

__all__ = ["Predecessor", "ResultContext", "build_results", "each_result", "encode", "numbered"]
