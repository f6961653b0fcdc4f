"""MS-CXR (Boecking et al. 2022): phrases of reports with boxes on frontal images of MIMIC-CXR, eight categories.

Its layout: `MS_CXR_Local_Alignment_v*.csv` (dicom_id, category_name, label_text, path, x, y, w, h, image_width,
image_height; from 1.1.0 on a column `split`), and MIMIC-CXR-JPG's images under `files/`, in their own size or smaller.
All boxes of one phrase on one image are one case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.data.listing import number, read_table
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols.measures import (
    absolute_contrast,
    mean_map_overlap,
    pointing_game,
    signed_contrast,
)
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Case, Protocol, PublishedRow, Question
from patchclip_trainer.evaluation.protocols.reading import digest_of_files, of_split, pictures_in

_COLUMNS = ("dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h")
_PATIENT = re.compile(r"/p(\d{8})/")
_FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "opacity",
    "Edema": "edema",
    "Lung Opacity": "opacity",
    "Pleural Effusion": "pleural_effusion",
    "Pneumonia": "opacity",
    "Pneumothorax": "pneumothorax",
}


def read(folder: Path, split: str) -> Benchmark:
    """Read the phrases. Raises `DataError` where the list is missing or one of its boxes has no size."""
    lists = sorted(folder.glob("MS_CXR_Local_Alignment_v*.csv"))
    if not lists:
        raise DataError(f"{folder}: MS_CXR_Local_Alignment_v1.0.0.csv, or a later one, has to lie beside files/")
    table = lists[-1]
    images: dict[str, ImageRow] = {}
    listed: dict[str, tuple[int, int]] = {}
    phrases: dict[tuple[str, str, str], list[Box]] = defaultdict(list)
    for place, cells in read_table(table, _COLUMNS):
        image = cells["path"]
        patient = _PATIENT.search(image)
        images[image] = ImageRow(
            image=image,
            patient_id=f"mimic-{patient[1]}" if patient else f"image {image}",
            split=cells.get("split", "").casefold(),
            source="MIMIC-CXR",
            place=place,
        )
        box = Box(*(number(cells[edge]) for edge in "xywh"))
        if not (box.w > 0 and box.h > 0):
            raise DataError(f"{place}: x={cells['x']} y={cells['y']} w={cells['w']} h={cells['h']} is not a box")
        phrases[image, cells["category_name"], cells["label_text"]].append(box)
        rows_px, columns_px = number(cells.get("image_height", "")), number(cells.get("image_width", ""))
        if rows_px > 0 and columns_px > 0:
            listed[image] = int(rows_px), int(columns_px)
    rows = of_split(tuple(images.values()), split, folder)
    index_of = {row.image: index for index, row in enumerate(rows)}
    questions: dict[tuple[str, str], Question] = {}
    cases = []
    for (image, category, phrase), boxes in phrases.items():
        if image in index_of:
            question = questions.setdefault((category, phrase), _question(len(questions), category, phrase))
            cases.append(Case(index_of[image], question.key, True, (Lesion(tuple(boxes)),)))

    radiograph, size_px = pictures_in(folder)
    return Benchmark(
        f"{table.name}: {len(cases)} phrases of {len(rows)} images",
        rows,
        tuple(questions.values()),
        tuple(cases),
        radiograph,
        size_px,
        digest_of_files(folder, [table]),
        listed_px=lambda row: listed.get(row.image),
    )


def _question(index: int, category: str, phrase: str) -> Question:
    """Ask a phrase as it stands; what it is held against is that the category is not there."""
    return Question(
        f"phrase_{index}", category, (phrase,), (f"There is no {category.lower()}",), _FINDINGS.get(category, "")
    )


MS_CXR = Protocol(
    name="ms-cxr",
    title="MS-CXR: phrases grounded",
    split="all",
    read=read,
    measures=(pointing_game(), signed_contrast(), absolute_contrast(), mean_map_overlap()),
    beside=(
        PublishedRow("contrast_to_noise", 1.33, "best published, zero-shot"),
        PublishedRow("contrast_to_noise", 0.93, "plain baseline"),
        PublishedRow("pointing_game", 0.844, "best published, zero-shot"),
        PublishedRow("pointing_game", 0.71, "plain baseline"),
    ),
    remark=(
        "Of phrases asked by text over the whole list, the mean over categories may be laid beside these rows, CNR "
        "with the care that publications differ in whether its sign counts: both are given. mIoU depends on what a "
        "map's values mean (ours are probabilities): lay it beside other models measured by this command, not "
        "beside published figures. A model that answers by its own findings has not been asked the phrase."
    ),
)
