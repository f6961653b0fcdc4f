"""The library as a person at a notebook uses it: load a model, analyse one image in any form, plot what was found.

Node and trainer use what is below: `checkpoints.checkpoint.load`, and `Analyzer`, which takes batches of radiographs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints import checkpoint
from patchclip_core.drawing import draw_overlay
from patchclip_core.inference.analysis import ReadsSentences
from patchclip_core.inference.scales import LooksCloser, TileSettings
from patchclip_core.io import read_radiograph
from patchclip_core.values.definitions import FindingDefinition, load_findings
from patchclip_core.values.results import Analyzer, Findings, ModelIdentity, Radiograph

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Image = Radiograph | str | Path | NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SeenFindings(Findings):
    """Findings beside the radiograph that they are of, so that they can be shown in it."""

    radiograph: Radiograph

    def plot(self, definitions: Iterable[FindingDefinition] = ()) -> Picture:
        """Return a picture: the radiograph, what was found in it, and a legend of all findings.

        definitions: names and colours of findings beyond the shipped ones, such as those asked by text. Raises
        `ValueError` for a finding without a definition.
        """
        known = load_findings() | {definition.key: definition for definition in definitions}
        if missing := [item.key for item in self.items if item.key not in known]:
            raise ValueError(f"no name and colour for {', '.join(missing)}: pass their definitions to plot()")
        return draw_overlay(self.radiograph, self, known)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: a row a finding, with its strongest region in source pixels.

        Raises `ImportError` where pandas is not installed.
        """
        return frame_of([self])


class Model:
    """A model at a notebook: an `Analyzer` of any architecture that takes images in any form.

    What else its `analyzer` has (`network`, `tokenizer`, `card`, ...) is here under the same name, so that saliency and
    word maps take a model as it is. `analyzer` itself is the wrapped `Analyzer`.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self.analyzer = analyzer

    def __getattr__(self, name: str) -> Any:
        if name == "analyzer":  # a copy that is not filled in yet
            raise AttributeError(name)
        return getattr(self.analyzer, name)

    @property
    def identity(self) -> ModelIdentity:
        """Name, version, digest and honesty statement."""
        return self.analyzer.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings that the model can speak of."""
        return self.analyzer.finding_keys

    def analyze(self, image: Image) -> SeenFindings:
        """Analyse one image: a `Radiograph`, the path of a DICOM, PNG or JPEG file, or an array (see `as_radiograph`).

        The findings keep the radiograph, so that `findings.plot()` can show it. Raises `UnreadableImageError` and
        `UnsuitableImageError` for files, `ValueError` for arrays.
        """
        radiograph = as_radiograph(image)
        (found,) = self.analyze_batch([radiograph])
        return SeenFindings(
            items=found.items,
            geometry=found.geometry,
            model=found.model,
            remarks=found.remarks,
            body=found.body,
            radiograph=radiograph,
        )

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs at once; the results are in their order, and do not hold on to the pixels."""
        return self.analyzer.analyze_batch(radiographs)

    def asking(self, definitions: Iterable[FindingDefinition]) -> Model:
        """Return a model that also looks for these findings, by their sentences alone (`NetworkAnalyzer.asking`).

        Raises `TypeError` where the architecture does not read sentences.
        """
        if not isinstance(self.analyzer, ReadsSentences):
            raise TypeError(
                f"{self.identity.name} reads no sentences: use a checkpoint of a built-in architecture, not exported"
            )
        return Model(self.analyzer.asking(definitions))

    def looking_closer(self, tiles: TileSettings | None = None) -> Model:
        """Return a model whose maps also come from tiles of the radiograph (`NetworkAnalyzer.looking_closer`).

        Raises `TypeError` where the architecture does not take tiles.
        """
        if not isinstance(self.analyzer, LooksCloser):
            raise TypeError(f"{self.identity.name} cannot look at tiles: use a checkpoint of a built-in architecture")
        return Model(self.analyzer.looking_closer(tiles or TileSettings()))


def frame_of(findings: Sequence[Findings], images: Sequence[str] = ()) -> Any:
    """Return the findings of several images as one pandas DataFrame, a row a finding.

    images: what the images are called; by default their numbers. Raises `ImportError` where pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("to_frame() needs pandas: pip install pandas; to_dict() needs nothing") from error
    names = list(images) or list(map(str, range(len(findings))))
    rows = []
    for name, found in zip(names, findings, strict=True):
        for item in found.to_dict()["findings"]:
            regions = item.pop("regions")
            place = regions[0] if regions else dict.fromkeys(("x", "y", "w", "h", "score"))
            rows.append({"image": name, **item, "regions": len(regions), **place})
    return pandas.DataFrame(rows)


def load(name_or_path: str | Path, device: str = "auto", *, input_px: int | None = None) -> Model:
    """Load a checkpoint: the name of one that the package ships, or a folder.

    device: 'auto' takes a GPU where there is one; 'cpu', 'cuda'. input_px: height and width of the model's input, where
    they are not to be those that it was trained with. Raises `CheckpointError`, which says what to do.
    """
    return Model(checkpoint.load(name_or_path, device, input_px=input_px))


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
