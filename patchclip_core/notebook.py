"""What a person at a notebook asks of a model: to analyse one image, in whatever form it is at hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchclip_core.io import read_radiograph
from patchclip_core.values.results import Findings, Radiograph

Image = Radiograph | str | Path | NDArray[Any]


class AnalyzesImages:
    """Adds `analyze` to what can analyse a batch of radiographs."""

    @abstractmethod
    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs at once."""

    def analyze(self, image: Image) -> Findings:
        """Analyse one image: a `Radiograph`, the path of a DICOM, PNG or JPEG file, or an array (see `as_radiograph`).

        The findings keep the radiograph, so that `findings.plot()` can show it. Raises `UnreadableImageError` and
        `UnsuitableImageError` for files, `ValueError` for arrays.
        """
        radiograph = as_radiograph(image)
        (findings,) = self.analyze_batch([radiograph])
        return replace(findings, radiograph=radiograph)


def as_radiograph(image: Image) -> Radiograph:
    """Return the radiograph.

    An array has (rows, columns), larger values brighter, bone bright: floating point in [0, 1], or unsigned integers
    over the whole range of their type (uint8: 0 to 255). Raises `ValueError` otherwise, and says what to do.
    """
    if isinstance(image, Radiograph):
        return image
    if isinstance(image, str | Path):
        return read_radiograph(Path(image))
    if image.ndim != 2:
        raise ValueError(f"an image has (rows, columns) pixels, this array has shape {image.shape}: take one channel")
    if image.dtype.kind == "u":
        return Radiograph((image / np.iinfo(image.dtype).max).astype(np.float32))
    if image.dtype.kind != "f":
        raise ValueError(
            f"an array of {image.dtype} could mean any range: convert it to uint8, uint16, or floats in [0, 1]"
        )
    low, high = float(image.min(initial=0.0)), float(image.max(initial=0.0))
    if not (low >= 0.0 and high <= 1.0):  # also refuses NaN
        raise ValueError(f"floating-point pixels lie in [0, 1], these in [{low:g}, {high:g}]: scale them first")
    return Radiograph(image.astype(np.float32))
