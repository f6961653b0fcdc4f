"""CheXpert (Irvin et al. 2019), full or small: `train.csv`, `valid.csv`, `test.csv` and the images they name.

Columns: Path (`CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg`), Sex, Age, Frontal/Lateral, AP/PA, and
a column a finding. The labels of the train part come from reports: 1 named, 0 denied, -1 uncertain, blank not
mentioned. Those of the other parts come from radiologists, and are 1 or 0.
"""

from __future__ import annotations

import re
from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.listing import Listing, age_of, number, read_table
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place, SplitName

SOURCE, READ_SOURCE = "CheXpert", "CheXpert (radiologists)"
_ABOUT = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
_PARTS: tuple[tuple[str, SplitName], ...] = (("train.csv", "train"), ("valid.csv", "val"), ("test.csv", "test"))
_PATIENT = re.compile(r"/(patient\d+)/")
_SEXES = {"Female": "F", "Male": "M"}


def read(folder: Path) -> Manifest:
    """Read the parts that are there; lateral images are listed and left out. An image's 1 is a label, its -1 uncertain.

    Its 0 and its blank are told apart no more, as with MIMIC-CXR's labels, which are made alike.
    """
    listing = Listing(folder)
    for file, split in _PARTS:
        if (folder / file).is_file():
            for place, cells in read_table(folder / file, _needed(file)):
                _add(listing, place, cells, split)
    return listing.manifest()


def _needed(file: str) -> tuple[str, ...]:
    return ("Path",) if file == "test.csv" else _ABOUT


def _add(listing: Listing, place: Place, cells: dict[str, str], split: SplitName) -> None:
    path = cells["Path"]
    image = next((found for found in _places(path) if (listing.folder / found).is_file()), _places(path)[-1])
    patient = _PATIENT.search(path)
    if patient is None:
        listing.refuse(place, image, "bad path", f"{path!r} does not name a patient, as .../patient00001/... does")
        return
    if "frontal" not in (cells.get("Frontal/Lateral", "").casefold() or path.casefold()):
        listing.refuse(place, image, "not frontal chest", "the list calls it lateral")
        return
    view = cells.get("AP/PA", "").upper()
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=f"chexpert-{patient[1]}",
            split=split,
            source=SOURCE if split == "train" else READ_SOURCE,
            view=view if view in {"AP", "PA"} else "",
            sex=_SEXES.get(cells.get("Sex", ""), ""),
            age_years=age_of(cells.get("Age", "")),
            labels=_that_say(cells, 1),
            uncertain=_that_say(cells, -1),
            label_source="NLP text-mined from reports (CheXpert)" if split == "train" else "radiologists (CheXpert)",
            place=place,
        )
    )


def _places(path: str) -> list[str]:
    """Return where an image may lie: the list names the folder of the data set itself first."""
    parts = path.split("/")
    return ["/".join(parts[first:]) for first in (0, 1)] if len(parts) > 1 else [path]


def _that_say(cells: dict[str, str], said: int) -> tuple[str, ...]:
    return tuple(name for name, value in cells.items() if name not in _ABOUT and number(value) == said)


def _recognises(folder: Path) -> bool:
    for file, _ in _PARTS[:2]:
        if (folder / file).is_file():
            with (folder / file).open("rb") as lines:
                if b"Frontal/Lateral" in lines.readline(10_000):
                    return True
    return False


CHEXPERT = Adapter(
    name="chexpert",
    title="CheXpert: train.csv and valid.csv with the column Frontal/Lateral",
    recognises=_recognises,
    read=read,
)
