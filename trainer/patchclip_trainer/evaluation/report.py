"""Writes everything that an evaluation found: numbers, predictions, plots, montage, and the page that shows them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from patchclip_core.drawing import page
from patchclip_core.values.definitions import load_findings
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.measure_table import Evaluation
from patchclip_trainer.evaluation.pictures import curves, montage, names_of
from patchclip_trainer.evaluation.place_measures import PATCH_MAP
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, write_predictions
from patchclip_trainer.evaluation.records import Record

_JPEG_QUALITY = 82


def make_folder(out: Path) -> None:
    """Make the folder that results go to, before any work is done. Raises `DataError`."""
    try:
        (out / "plots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error


def write_evaluation(evaluation: Evaluation, out: Path, *, with_predictions: bool = True) -> None:
    """Write metrics.json, predictions.jsonl, plots/*.svg, montage.png and report.html. Raises `DataError`.

    Pictures of an earlier evaluation in the same folder go: they may show what this one has not measured.
    with_predictions: False where they come from a file, which stays what it is.
    """
    make_folder(out)
    definitions = load_findings()
    drawn = curves(evaluation, definitions)
    picture = montage(evaluation, definitions)
    try:
        text = json.dumps(evaluation.metrics, indent=2, ensure_ascii=False, allow_nan=False)
        (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
        if with_predictions:
            write_predictions(out / PREDICTIONS_FILE, evaluation.predictions)
        for earlier in (*(out / "plots").glob("*.svg"), out / "montage.png"):
            earlier.unlink(missing_ok=True)
        for name, svg in drawn.items():
            (out / "plots" / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
        if picture is not None:
            picture.save(out / "montage.png")
        names = names_of(evaluation.predictions.keys, definitions)
        (out / "report.html").write_text(_page(evaluation.metrics, names, drawn, picture), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error


def shown(estimate: Record | None) -> str:
    """Write an estimate with its interval: `0.416 [0.329, 0.506]`; a dash where it is undefined."""
    if estimate is None or estimate["value"] is None:
        return "–"  # noqa: RUF001 - an en dash in a table of numbers
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _page(metrics: Record, names: Mapping[str, str], drawn: Mapping[str, str], picture: Image.Image | None) -> str:
    return page(
        "patchclip_trainer.evaluation",
        metrics=metrics,
        part=", ".join(metrics["data"][key] for key in ("split", "source", "view") if metrics["data"][key]),
        names=names,
        plots={name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704 - our own SVG, its texts escaped
        montage=_embedded(picture),
        shown=shown,
        patch_map=PATCH_MAP,
    )


def _embedded(picture: Image.Image | None) -> str | None:
    if picture is None:
        return None
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
