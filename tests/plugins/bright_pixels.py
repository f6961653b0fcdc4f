"""A model for tests: it marks bright pixels as lung opacity, so that a test knows what must be found, and where.

`opacity` is present with a region over each bright area of a patch or more; `pleural_effusion` is never present and
`pneumothorax` is never evaluated. It needs neither torch nor time. While the file that BRIGHT_PIXELS_HOLD names exists
it waits, and says so by a file beside it; with a black image, such as a model is warmed up with, it never waits.
`python bright_pixels.py` writes its checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from patchclip_core.checkpoints.checkpoint import digest_of, write_card
from patchclip_core.models.card import WEIGHTS_FILE, FindingCard, ModelCard
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import fit
from patchclip_core.places.regions import find_regions
from patchclip_core.values.results import Finding, Findings, FindingState, ModelIdentity, PatchGrid, Radiograph, verdict

GRID = PatchGrid(rows=32, columns=32, pitch_px=16.0, centre_px=8.0)
BRIGHT = 0.75
"""Displayed values from here on are bright."""


class BrightPixels:
    """The model: a patch's probability is the part of it that is bright."""

    def __init__(self, card: ModelCard, bright: float) -> None:
        self._card = card
        self._bright = bright

    @property
    def identity(self) -> ModelIdentity:
        return self._card.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        return tuple(finding.key for finding in self._card.findings)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        return [self._analyze(radiograph) for radiograph in radiographs]

    def _analyze(self, radiograph: Radiograph) -> Findings:
        if radiograph.pixels.any():
            _wait_while_held()
        grey, geometry = fit(radiograph, self._card.preprocess)
        pitch = int(GRID.pitch_px)
        bright = (grey >= self._bright).reshape(GRID.rows, pitch, GRID.columns, pitch)
        patch_map = bright.mean(axis=(1, 3)).astype(np.float32)
        regions = find_regions(patch_map, geometry)
        probability = float(patch_map.max()) * 0.96 + 0.02
        opacity = Finding(
            key="opacity",
            state=verdict(probability, 0.5),
            probability=probability,
            threshold=0.5,
            patch_map=patch_map,
            regions=regions,
        )
        effusion = Finding("pleural_effusion", verdict(0.02, 0.5), 0.02, 0.5, patch_map=np.zeros_like(patch_map))
        pneumothorax = Finding(
            "pneumothorax", FindingState.NOT_EVALUATED, None, None, reason="this model does not look for pneumothorax"
        )
        return Findings((opacity, effusion, pneumothorax), geometry, self.identity, radiograph.remarks)


def _wait_while_held() -> None:
    hold = Path(os.environ.get("BRIGHT_PIXELS_HOLD", ""))
    while hold.name and hold.exists():
        hold.with_suffix(".reached").touch()
        time.sleep(0.02)


def load(folder: Path, card: ModelCard, device: str) -> BrightPixels:
    """The entry point."""
    return BrightPixels(card, float(load_file(folder / WEIGHTS_FILE)["bright"]))


def write_checkpoint(folder: Path) -> None:
    """Write the checkpoint that names this model."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"bright": np.array(BRIGHT, dtype=np.float32)}, folder / WEIGHTS_FILE)
    card = ModelCard(
        name="bright-pixels",
        version="1.0",
        architecture="bright_pixels",
        weights_digest=digest_of([folder / WEIGHTS_FILE]),
        trained=True,
        calibrated=False,
        training_data="none: a rule for tests",
        licence="Apache-2.0",
        statement="A rule for tests that marks bright pixels; it knows nothing of medicine.",
        preprocess=PreprocessSettings(input_px=512, grid=GRID, filter="bilinear"),
        findings=tuple(FindingCard(key=key) for key in ("opacity", "pleural_effusion", "pneumothorax")),
    )
    write_card(folder, card)


if __name__ == "__main__":
    write_checkpoint(Path(__file__).parent / "bright_checkpoint")
