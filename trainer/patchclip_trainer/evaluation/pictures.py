"""What an evaluation looks like: its curves, and a montage of the best and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from patchclip_core.statistics.roc import reliability, roc_points
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.wording import RESEARCH_STATEMENT
from patchclip_trainer.evaluation.measure_table import DOMAINS, Evaluation
from patchclip_trainer.evaluation.place_measures import PATCH_MAP, PlacedMaps
from patchclip_trainer.evaluation.plots import SHARE, Axis, Curve, plot
from patchclip_trainer.evaluation.predictions import candidates_of
from patchclip_trainer.evaluation.records import Mask
from patchclip_trainer.metrics.froc import PRIMARY_RATES, SECONDARY_RATES, froc_curve

CASES_A_ROW = 4
LEAST_FOR_CALIBRATION = 30
"""Positive and negative images, each, that a reliability curve is drawn of."""
_TILE_PX = 320
_CAPTION_PX = 40
_HEAT = np.array([240, 120, 20], dtype=np.float64)
_SHOWN_CANDIDATES = 3
_RATES = Axis("false positives an image", 0.125, 8.0, (*PRIMARY_RATES, *SECONDARY_RATES), logarithmic=True)
_SENSITIVITY = Axis("sensitivity", 0.0, 1.0, SHARE)


@dataclass(frozen=True, slots=True)
class Case:
    """An image of the montage, and why it is there."""

    index: int
    caption: str


def curves(evaluation: Evaluation, names: Mapping[str, FindingDefinition]) -> dict[str, str]:
    """Return plots by their file's name without suffix, as SVG: FROC of each boxed finding, ROC, calibration."""
    plots = {
        f"froc_{key}": froc_plot(f"{_name(key, names)}: lesions found", placed)
        for key, placed in evaluation.placed.items()
        if placed
    }
    for domain, who in zip(DOMAINS, ("against readers", "against text-mined labels"), strict=True):
        roc, calibration = _image_curves(evaluation, domain, names)
        if roc:
            share = Axis("false positive rate", 0.0, 1.0, SHARE)
            plots[f"roc_{domain}"] = plot(f"ROC {who}", share, _SENSITIVITY, roc, diagonal=True)
        if calibration:
            said, true = Axis("probability said", 0.0, 1.0, SHARE), Axis("part that is positive", 0.0, 1.0, SHARE)
            plots[f"calibration_{domain}"] = plot(f"Calibration {who}", said, true, calibration, diagonal=True)
    return plots


def froc_plot(title: str, placed: Mapping[str, PlacedMaps]) -> str:
    """Return the FROC curves of every origin of maps; each ends at its last false positive."""
    found = []
    for name, maps in placed.items():
        curve = froc_curve(maps.cases, np.ones((1, len(maps.cases.normal))))
        rates, sensitivities = curve.rates[0], curve.sensitivities[0]
        last = min(max(rates[-1], _RATES.low), _RATES.high)
        shown = np.geomspace(_RATES.low, last, 120)
        label = name.replace("_", " ")
        found.append(Curve(label, shown, np.interp(shown, rates, sensitivities), dashed=name != PATCH_MAP))
    return plot(title, _RATES, _SENSITIVITY, found)


def _image_curves(
    evaluation: Evaluation, domain: str, names: Mapping[str, FindingDefinition]
) -> tuple[list[Curve], list[Curve]]:
    roc, calibration = [], []
    for key, truth in evaluation.truths.items():
        known, positive = (
            (truth.read, truth.positive) if domain == "readers" else (truth.text_known, truth.text_positive)
        )
        probabilities = evaluation.predictions.of(key)[0]
        chosen = known & np.isfinite(probabilities)
        labels = positive[chosen]
        if not labels.any() or labels.all():
            continue
        area = evaluation.metrics["findings"][key]["image_level"][domain]["auc"]["value"]
        roc.append(Curve(f"{_name(key, names)}: AUC {area:.3f}", *roc_points(probabilities[chosen], labels)))
        if min(labels.sum(), (~labels).sum()) >= LEAST_FOR_CALIBRATION:
            calibration += _reliability(evaluation, domain, key, chosen, labels, _name(key, names))
    return roc, calibration


def _reliability(evaluation: Evaluation, domain: str, key: str, chosen: Mask, labels: Mask, name: str) -> list[Curve]:
    """Return what was said against what is, calibrated and, dashed in the same colour, before."""
    pair = evaluation.measured.calibrated.get(domain, {}).get(key)
    if pair is None or not np.isfinite(pair.after[chosen]).all():
        means, frequencies, _ = reliability(evaluation.predictions.of(key)[0][chosen], labels)
        return [Curve(f"{name}: {len(labels)} images, not calibrated", means, frequencies, points=True, group=key)]
    after, before = (reliability(said[chosen], labels)[:2] for said in (pair.after, pair.before))
    return [
        Curve(f"{name}: {len(labels)} images", *after, points=True, group=key),
        Curve(f"{name}, before calibration", *before, dashed=True, group=key),
    ]


def cases(evaluation: Evaluation) -> tuple[str, list[tuple[str, list[Case]]]]:
    """Return the finding with most boxed images, and its best, worst and falsest cases; none without boxes and maps.

    The best are those whose weakest lesion stands highest above the strongest false positive; the falsest, images
    without a lesion with the strongest candidates.
    """
    with_maps = [key for key, placed in evaluation.placed.items() if PATCH_MAP in placed]
    if not with_maps:
        return "", []
    finding = max(with_maps, key=lambda key: int(evaluation.truths[key].boxed.sum()))
    truth, matched = evaluation.truths[finding], evaluation.placed[finding][PATCH_MAP].cases
    of_image = np.flatnonzero(truth.placed)
    false = np.zeros(len(of_image))
    np.maximum.at(false, matched.false_image, matched.false_score)
    found = np.ones(len(of_image))
    np.minimum.at(found, matched.lesion_image, np.maximum(matched.lesion_score, 0.0))
    margin = found - false
    boxed = [int(index) for index in np.argsort(-margin, kind="stable") if not matched.normal[index]]
    normal = [int(index) for index in np.argsort(-false, kind="stable") if matched.normal[index]]

    def told(index: int) -> Case:
        lesion = "" if matched.normal[index] else f"weakest lesion {found[index]:.2f}, "
        return Case(int(of_image[index]), f"{lesion}false {false[index]:.2f}")

    worst = boxed[CASES_A_ROW:][::-1][:CASES_A_ROW]
    return finding, [
        ("Found best", [told(index) for index in boxed[:CASES_A_ROW]]),
        ("Found worst", [told(index) for index in worst]),
        ("Without a lesion, marked most", [told(index) for index in normal[:CASES_A_ROW]]),
    ]


def montage(evaluation: Evaluation, definitions: Mapping[str, FindingDefinition]) -> Image.Image | None:
    """Return one RGB picture of the cases: map in orange, lesions in white, strongest candidates as rings."""
    finding, rows = cases(evaluation)
    rows = [(title, members) for title, members in rows if members]
    if not rows:
        return None
    height = _CAPTION_PX + len(rows) * (_TILE_PX + 2 * _CAPTION_PX)
    picture = Image.new("RGB", (CASES_A_ROW * _TILE_PX, height), (12, 18, 20))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=16)
    header = f"{_name(finding, definitions)}. {RESEARCH_STATEMENT}"
    if evaluation.warning:
        header = f"{evaluation.warning}. {header}"
    pen.text((10, 11), header, fill=(240, 176, 60), font=font)
    for number, (title, members) in enumerate(rows):
        top = _CAPTION_PX + number * (_TILE_PX + 2 * _CAPTION_PX)
        pen.text((10, top + 11), title, fill=(230, 240, 240), font=font)
        for column, case in enumerate(members):
            tile = _tile(evaluation, finding, case.index)
            left = column * _TILE_PX + (_TILE_PX - tile.width) // 2
            picture.paste(tile, (left, top + _CAPTION_PX))
            name = Path(evaluation.predictions.rows[case.index].image).stem
            below = (column * _TILE_PX + 10, top + _CAPTION_PX + _TILE_PX + 8)
            pen.text(below, f"{name[:24]}  {case.caption}", fill=(150, 170, 172), font=ImageFont.load_default(size=12))
    return picture


def _tile(evaluation: Evaluation, finding: str, index: int) -> Image.Image:
    predictions = evaluation.predictions
    radiograph = evaluation.measured.collection.radiograph(predictions.rows[index])
    rows_px, columns_px = (int(size) for size in predictions.sizes_px[index])
    scale = (_TILE_PX - 8) / max(rows_px, columns_px)
    size = (max(1, round(columns_px * scale)), max(1, round(rows_px * scale)))
    grid = predictions.of(finding)[1][index]
    grey = np.asarray(Image.fromarray((radiograph.pixels * 255).astype(np.uint8)).resize(size), dtype=np.float64)
    heat = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    part = 0.55 * np.clip(heat, 0, 1)[..., None]
    tile = Image.fromarray((grey[..., None] * (1 - part) + _HEAT * part).astype(np.uint8))
    pen = ImageDraw.Draw(tile)
    for lesion in evaluation.truths[finding].lesions[index]:
        for box in lesion.boxes:
            corners = [box.x * scale, box.y * scale, (box.x + box.w) * scale, (box.y + box.h) * scale]
            pen.rectangle(corners, outline=(255, 255, 255), width=2)
    for candidate in candidates_of(grid, predictions.sizes_px[index])[:_SHOWN_CANDIDATES]:
        x, y = candidate.x * scale, candidate.y * scale
        pen.ellipse([x - 6, y - 6, x + 6, y + 6], outline=(20, 20, 20), width=4)
        pen.ellipse([x - 6, y - 6, x + 6, y + 6], outline=(90, 220, 230), width=2)
    return tile


def _name(key: str, definitions: Mapping[str, FindingDefinition]) -> str:
    return definitions[key].name if key in definitions else key.replace("_", " ")


def names_of(keys: Sequence[str], definitions: Mapping[str, FindingDefinition]) -> dict[str, str]:
    """Return a readable name for each finding."""
    return {key: _name(key, definitions) for key in keys}
