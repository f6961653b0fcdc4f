"""Makes the pictures of docs/radiologist.md with the product's own commands, from the sample that tells most.

    python tools/make_pictures.py [MODEL [OUT]]

MODEL: a checkpoint folder or a shipped name; default: the model that the program takes. OUT: default: docs/pictures.
The pictures show whatever that model says, so make them again when another one is shipped. made-with.txt beside them
says which weights each one shows. Pictures of viewers need more programs: tools/make_viewer_pictures.py makes them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
RECORD = "made-with.txt"
_HEAD = "# picture, the weights that it shows, itself; written by `make pictures` and `make viewer-pictures`\n"
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
    pictures = Path(out)
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = sample_that_tells_most(folder / "all", model)
        for profile in dict.fromkeys([*CAPTURES.values(), *(profile for profile, _ in RENDERED.values())]):
            analyse([sample], folder / profile, profile, model)
        for picture, profile in CAPTURES.items():
            keep(rendered(folder / profile / f"{sample.stem}-sc.dcm", sample), pictures / f"{picture}.jpg")
        for picture, (profile, kind) in RENDERED.items():
            made = folder / profile / f"{sample.stem}-{kind}.dcm"
            if made.exists():  # a model that finds nothing in the sample makes no segmentation
                keep(rendered(made, sample), pictures / f"{picture}.jpg")
            else:
                (pictures / f"{picture}.jpg").unlink(missing_ok=True)
        record(pictures, [f"{picture}.jpg" for picture in (*CAPTURES, *RENDERED)], weights_of(folder / "pictures"))


def sample_that_tells_most(folder: Path, model: str | None) -> Path:
    """Analyse all samples into a folder; return the one in which the model finds the most places, else the first."""
    samples = sorted(Path(str(files("patchclip_node.samples"))).glob("*.dcm"))
    analyse(samples, folder, None, model)
    places = {
        Path(image["file"]): sum(len(finding["regions"]) for finding in image.get("findings", ()))
        for image in _document(folder)["images"]
    }
    best = max(places, key=lambda path: places[path])
    return best if places[best] else samples[0]


def analyse(images: Iterable[Path], folder: Path, profile: str | None, model: str | None) -> None:
    """Write into a folder what a profile of PROFILE makes of images; None: what the program takes by itself."""
    config = folder.with_suffix(".yaml")
    config.write_text(PROFILE, encoding="utf-8")
    chosen = [*(["--profile", profile] if profile else []), *(["--model", model] if model else [])]
    node("analyze", *images, "--out", folder, "--config", config, *chosen)


def weights_of(folder: Path) -> str:
    """Return the digest of the weights that results name in a folder of `analyse`."""
    return str(_document(folder)["model"]["weights_digest"])


def _document(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    return document


def rendered(object_file: Path, image: Path) -> Path:
    """Draw an object over its image."""
    target = object_file.with_suffix(".png")
    node("render", object_file, image, "--out", target)
    return target


def keep(png: Path, copy: Path) -> None:
    """Write a small copy."""
    with Image.open(png) as opened:
        write_small(opened.convert("RGB"), copy)


def write_small(picture: Image.Image, copy: Path, longest_side_px: int = WIDTH_PX) -> None:
    """Write a picture as JPEG, made smaller where a side is longer than this."""
    picture.thumbnail((longest_side_px, longest_side_px), Image.Resampling.LANCZOS)
    picture.save(copy, "JPEG", quality=85, optimize=True)


def record(pictures: Path, made: Iterable[str], weights: str) -> None:
    """Write down which weights the pictures show that were made now; what is said of others stays while they are there.

    A picture's own digest stands beside it, so that one that came in another way is told from it.
    """
    said = recorded(pictures) | {name: (weights, digest_of(pictures / name)) for name in made if _is_in(pictures, name)}
    lines = [f"{name} {' '.join(digests)}\n" for name, digests in sorted(said.items()) if _is_in(pictures, name)]
    (pictures / RECORD).write_text(_HEAD + "".join(lines), encoding="utf-8")


def recorded(pictures: Path) -> dict[str, tuple[str, str]]:
    """Return what is written down: picture -> digests of the weights that it shows, and of itself."""
    path = pictures / RECORD
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    words = [line.split() for line in lines if not line.startswith("#")]
    return {name: (weights, itself) for name, weights, itself in words}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, written as a card writes that of weights."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _is_in(pictures: Path, name: str) -> bool:
    return (pictures / name).is_file()


def node(*arguments: str | Path) -> None:
    """Run `patchclip-node`."""
    subprocess.run(
        [sys.executable, "-m", "patchclip_node", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
