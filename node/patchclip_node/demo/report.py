"""`report.html`: what was sent and what came back, side by side, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchclip_core.drawing import page
from patchclip_node.demo.outcome import StudyOutcome
from patchclip_node.demo.pictures import ReportPicture
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall-clock seconds of the demo's own steps."""

    start_s: float
    studies_s: float
    total_s: float


def write_report(
    path: Path, outcomes: Sequence[StudyOutcome], pictures: Mapping[str, ReportPicture], timings: Timings
) -> None:
    """Write the page. It loads nothing from elsewhere; the images are in it."""
    model = next((outcome.summary.model for outcome in outcomes if outcome.summary), None)
    html = page(
        "patchclip_node.demo",
        product=PRODUCT_NAME,
        version=PRODUCT_VERSION,
        outcomes=outcomes,
        pictures=pictures,
        timings=timings,
        model=model,
        came_back=sum(outcome.problem is None for outcome in outcomes),
    )
    path.write_text(html, encoding="utf-8")
