"""Makes the pictures of docs/radiologist.md with the product's own commands, from the sample that tells most.

    python tools/make_pictures.py [MODEL [OUT]]

MODEL: a checkpoint folder or a shipped name; default: the model that the program takes. OUT: default: docs/pictures.
The pictures show whatever that model says, so make them again when another one is shipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH_PX = 1000
PROFILE = """
profiles:
  - {name: pictures, objects: [sr, seg, gsps, sc]}
  - {name: heat, objects: [sc], drawing: heat_map}
  - {name: german, objects: [sc], language: de}
"""
RENDERED = {"report": ("pictures", "sr"), "regions": ("pictures", "seg"), "annotations": ("pictures", "gsps")}
CAPTURES = {"picture": "pictures", "heat-map": "heat", "picture-german": "german"}


def main(model: str | None = None, out: str | Path = PICTURES) -> None:
    """Analyse the sample in each profile, draw each object, and keep small copies."""
    samples = sorted(Path(str(files("patchclip_node.samples"))).glob("*.dcm"))
    pictures = Path(out)
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "node.yaml"
        config.write_text(PROFILE, encoding="utf-8")
        chosen = ["--model", model] if model else []
        node("analyze", *samples, "--out", folder / "all", "--config", config, *chosen)
        sample = telling(folder / "all" / "findings.json") or samples[0]
        for profile in dict.fromkeys([*CAPTURES.values(), *(profile for profile, _ in RENDERED.values())]):
            node("analyze", sample, "--out", folder / profile, "--profile", profile, "--config", config, *chosen)
        for picture, profile in CAPTURES.items():
            keep(rendered(folder / profile / f"{sample.stem}-sc.dcm", sample), pictures / f"{picture}.jpg")
        for picture, (profile, kind) in RENDERED.items():
            made = folder / profile / f"{sample.stem}-{kind}.dcm"
            if made.exists():  # a model that finds nothing in the sample makes no segmentation
                keep(rendered(made, sample), pictures / f"{picture}.jpg")
            else:
                (pictures / f"{picture}.jpg").unlink(missing_ok=True)


def telling(document: Path) -> Path | None:
    """Return the sample in which the model finds the most places, None where it finds none."""
    places = {
        Path(image["file"]): sum(len(finding["regions"]) for finding in image.get("findings", ()))
        for image in json.loads(document.read_text(encoding="utf-8"))["images"]
    }
    best = max(places, key=lambda path: places[path])
    return best if places[best] else None


def rendered(object_file: Path, image: Path) -> Path:
    """Draw an object over its image."""
    target = object_file.with_suffix(".png")
    node("render", object_file, image, "--out", target)
    return target


def keep(png: Path, copy: Path) -> None:
    """Write a small copy."""
    with Image.open(png) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((WIDTH_PX, WIDTH_PX), Image.Resampling.LANCZOS)
    picture.save(copy, "JPEG", quality=85, optimize=True)


def node(*arguments: str | Path) -> None:
    """Run `patchclip-node`."""
    subprocess.run(
        [sys.executable, "-m", "patchclip_node", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
