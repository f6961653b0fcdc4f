"""CheXpert's five competition findings (Irvin et al. 2019), asked by text, on the images that radiologists read.

Its layout: `test_labels.csv` or `test.csv` (split test), `valid.csv` or `val_labels.csv` (split val), with a column
`Path` and one a finding; the images under `test/` and `valid/` (`val/`). Frontal images alone: the model reads no
lateral ones.
"""

from __future__ import annotations

import re
from pathlib import Path

from patchclip_trainer.data.listing import number, read_table
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols.measures import image_auc
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Case, Protocol, PublishedRow, there_is
from patchclip_trainer.evaluation.protocols.reading import digest_of_files, pictures_in

QUESTIONS = (
    there_is("Atelectasis", "atelectasis"),
    there_is("Cardiomegaly", "cardiomegaly"),
    there_is("Consolidation", "opacity"),
    there_is("Edema", "edema"),
    there_is("Pleural Effusion", "pleural_effusion"),
)
_LISTS = {"test": ("test_labels.csv", "test.csv"), "val": ("valid.csv", "val_labels.csv")}
_PATIENT = re.compile(r"(patient\d+)")


def read(folder: Path, split: str) -> Benchmark:
    """Read one part. Raises `DataError` where its list is missing, or has a cell that is neither 0 nor 1."""
    if split not in _LISTS:
        raise DataError(f"CheXpert's parts that radiologists read are test and val, not '{split}'")
    table = next((folder / name for name in _LISTS[split] if (folder / name).is_file()), None)
    if table is None:
        raise DataError(f"{folder}: {' or '.join(_LISTS[split])} is missing")
    rows: list[ImageRow] = []
    cases: list[Case] = []
    left_out: list[str] = []
    for place, cells in read_table(table, ("Path", *(question.group for question in QUESTIONS))):
        image = _image(folder, cells["Path"])
        if "frontal" not in Path(image).name:
            left_out.append(f"{place}: {image} is not frontal")
            continue
        patient = _PATIENT.search(image)
        for question in QUESTIONS:
            said = number(cells[question.group])
            if said not in {0.0, 1.0}:
                raise DataError(
                    f"{place}: {question.group} is {cells[question.group]!r}; radiologists' lists have 0 or 1"
                )
            cases.append(Case(len(rows), question.key, said == 1.0))
        rows.append(
            ImageRow(
                image=image,
                patient_id=f"chexpert-{patient[1]}" if patient else f"image {image}",
                split=split,
                source="CheXpert",
                place=place,
            )
        )

    radiograph, size_px = pictures_in(folder)
    if not rows:
        raise DataError(f"{table} names no frontal image")
    about = f"CheXpert, {split}: frontal images"
    digest = digest_of_files(folder, [table])
    return Benchmark(about, tuple(rows), QUESTIONS, tuple(cases), radiograph, size_px, digest, tuple(left_out))


def _image(folder: Path, path: str) -> str:
    """Return the path of an image below the folder; lists begin it with the name of a release."""
    parts = Path(path).parts
    return next(
        ("/".join(parts[start:]) for start in range(len(parts)) if (folder.joinpath(*parts[start:])).is_file()), path
    )


CHEXPERT5 = Protocol(
    name="chexpert5",
    title="CheXpert-5: image AUC",
    split="test",
    read=read,
    measures=(image_auc(),),
    beside=(
        PublishedRow("auc", 0.923, "best published, zero-shot (RadZero, CARZero family)"),
        PublishedRow("auc", 0.75, "plain baseline: global CLIP, zero-shot"),
    ),
    remark=(
        "The mean over the five findings on the test part, asked by text of a model that saw no label of them, may "
        "be laid beside these rows; publications differ in whether lateral images count, here they do not. A model "
        "that was trained on such findings is supervised: its figure stands by itself."
    ),
)
