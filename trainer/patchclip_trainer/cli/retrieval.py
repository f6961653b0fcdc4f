"""What stage 1 has reached, in lines for a terminal: how well images and texts find each other; findings by text."""

from __future__ import annotations

from typing import Any


def retrieval_lines(measured: dict[str, Any]) -> list[str]:
    """Return a line for each measure of `retrieval.json`."""
    lines = [
        f"fold {measured['fold']}: {measured['images']} images of {measured['patients']} patients, "
        f"{measured['different_texts']} different texts"
    ]
    for way, title in (("image_to_text", "image to text"), ("text_to_image", "text to image")):
        for name, found in measured[way].items():
            if name.startswith("recall"):
                lines.append(f"{title}, {name.replace('_', ' ')}: {_interval(found)}, by chance {found['chance']:.3f}")
    for key, found in measured["zero_shot"].items():
        if found["auc"] is not None and found["auc"]["value"] is not None:
            counted = f"{found['positive']} with, {found['negative']} without"
            lines.append(f"{key}, zero-shot AUC: {_interval(found['auc'])} ({counted})")
    return lines


def _interval(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
