"""ChestX-Det10 (Liu et al. 2020): ten classes, boxes of three radiologists on images of NIH ChestX-ray14.

Its own layout is `train.json`, `test.json` and the images; ChestX-Det's (`ChestX_Det_test.json`), which has three
classes more, is read for the same ten. A folder with `manifest.csv`, or prepared data, is a part of it: its images
whose column `chestxdet10` or `chestxdet` has an entry, with the boxes of those readers.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from patchclip_core.reports.names import plain
from patchclip_trainer.data.adapters.nih import CHESTX_DET
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.collection import open_collection
from patchclip_trainer.evaluation.protocols.measures import image_auc, pointing_game, recall_by_overlap
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Case, Protocol, PublishedRow, there_is
from patchclip_trainer.evaluation.protocols.reading import digest_of_files, of_split, pictures_in

QUESTIONS = (
    there_is("Atelectasis", "atelectasis"),
    there_is("Calcification"),
    there_is("Consolidation", "opacity"),
    there_is("Effusion", "pleural_effusion", words="pleural effusion"),
    there_is("Emphysema"),
    there_is("Fibrosis"),
    there_is("Fracture", "fracture"),
    there_is("Mass", "nodule_mass"),
    there_is("Nodule", "nodule_mass"),
    there_is("Pneumothorax", "pneumothorax"),
)
_READERS = "ChestX-Det"
"""How the source of their boxes begins."""


def read(folder: Path, split: str) -> Benchmark:
    """Read one part. Raises `DataError` where the folder has no image that these readers saw."""
    if CHESTX_DET.recognises(folder):
        manifest = CHESTX_DET.read(folder)

        radiograph, size_px = pictures_in(folder)
        rows, boxes = manifest.images, manifest.boxes
        digest = digest_of_files(folder, sorted(folder.glob("*.json")))
        left_out = tuple(map(str, manifest.problems))
        about = "ChestX-Det10" if any(row.chestxdet10 for row in rows) else "ChestX-Det, ten of its thirteen classes"
    else:
        collection = open_collection(folder)
        rows = collection.rows
        boxes = tuple(box for drawn in collection.boxes.values() for box in drawn)
        radiograph, size_px, digest, left_out = collection.radiograph, collection.size_px, collection.digest, ()
        about = "images of this folder that readers of ChestX-Det or ChestX-Det10 saw: a part, not the data set"
    seen = tuple(row for row in rows if row.chestxdet10 or row.chestxdet)
    if not seen:
        raise DataError(f"{folder}: readers of ChestX-Det10 saw none of its images, or their column is missing")
    chosen = of_split(seen, split, folder)
    return Benchmark(about, chosen, QUESTIONS, _cases(chosen, boxes), radiograph, size_px, digest, left_out)


def _cases(rows: tuple[ImageRow, ...], boxes: tuple[BoxRow, ...]) -> tuple[Case, ...]:
    drawn: dict[tuple[str, str], list[BoxRow]] = defaultdict(list)
    for box in boxes:
        if box.source.startswith(_READERS):
            drawn[box.image, plain(box.finding)].append(box)
    cases = []
    for index, row in enumerate(rows):
        said = {plain(name) for name in row.chestxdet10 or row.chestxdet}
        for question in QUESTIONS:
            name = plain(question.group)
            lesions = tuple(Lesion((box.box,)) for box in drawn[row.image, name])
            cases.append(Case(index, question.key, name in said, lesions if name in said else ()))
    return tuple(cases)


CHESTX_DET10 = Protocol(
    name="chestx-det10",
    title="ChestX-Det10: ten classes",
    split="test",
    read=read,
    measures=(pointing_game(), recall_by_overlap(0.05), recall_by_overlap(0.1), recall_by_overlap(0.2), image_auc()),
    beside=(
        PublishedRow("pointing_game", 0.622, "RadZero, zero-shot, 518 px"),
        PublishedRow("pointing_game", 0.537, "RadZero, zero-shot, 224 px"),
        PublishedRow("pointing_game", 0.483, "plain baseline: linear head and cosine, zero-shot"),
        PublishedRow("pointing_game", 0.121, "plain baseline: mean-pooled, zero-shot"),
    ),
    remark=(
        "The pointing game of the whole test part (all ten classes answered by text, no image or box of NIH "
        "ChestX-ray14 with such findings in training) may be laid beside the zero-shot rows. A part of the data "
        "set, a model that was trained on boxes of these findings, or fewer classes, may not: such a figure stands "
        "by itself. Recall at .05, .1 and .2 false positives follows the data set's own evaluation; no published "
        "row of it is listed here."
    ),
)
