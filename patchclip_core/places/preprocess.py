"""The one way from a radiograph to a model's input, in training and in use alike.

The image is fitted into the input whole, its aspect kept (pixels that are not square included), and what stays free is
padded evenly. `Geometry` is made from the sizes after rounding, so that a patch maps back to exactly the pixels it saw.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.results import FloatArray, Geometry, Radiograph

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def letterbox(rows: int, columns: int, pixel_aspect_ratio: float, settings: PreprocessSettings) -> Geometry:
    """Return how an image of this size is fitted into the input. Whole input pixels: fitted sizes are rounded."""
    side = settings.input_px
    scale = min(side / columns, side / (rows * pixel_aspect_ratio))
    fitted_rows = min(side, max(1, round(rows * pixel_aspect_ratio * scale)))
    fitted_columns = min(side, max(1, round(columns * scale)))
    return Geometry(
        source_rows=rows,
        source_columns=columns,
        input_rows=side,
        input_columns=side,
        scale_x=fitted_columns / columns,
        scale_y=fitted_rows / rows,
        offset_x_px=(side - fitted_columns) // 2,
        offset_y_px=(side - fitted_rows) // 2,
        grid=settings.grid,
    )


def fit(radiograph: Radiograph, settings: PreprocessSettings) -> tuple[FloatArray, Geometry]:
    """Return the grey input (input_px, input_px) in [0, 1], before normalisation, and its geometry."""
    geometry = letterbox(radiograph.rows, radiograph.columns, radiograph.pixel_aspect_ratio, settings)
    rows = round(geometry.source_rows * geometry.scale_y)
    columns = round(geometry.source_columns * geometry.scale_x)
    source = Image.fromarray(np.ascontiguousarray(radiograph.pixels))
    fitted = np.asarray(source.resize((columns, rows), _FILTERS[settings.filter]), dtype=np.float32)
    grey = np.full((settings.input_px, settings.input_px), settings.padding, dtype=np.float32)
    top, left = int(geometry.offset_y_px), int(geometry.offset_x_px)
    np.clip(fitted, 0.0, 1.0, out=grey[top : top + rows, left : left + columns])
    return grey, geometry


def preprocess(radiograph: Radiograph, settings: PreprocessSettings) -> tuple[FloatArray, Geometry]:
    """Return the model's input (channels, input_px, input_px) float32, normalised, and the way back from it."""
    grey, geometry = fit(radiograph, settings)
    mean = np.asarray(settings.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(settings.std, dtype=np.float32)[:, None, None]
    return (grey[None] - mean) / std, geometry
