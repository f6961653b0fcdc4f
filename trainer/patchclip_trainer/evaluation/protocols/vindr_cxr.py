"""VinDr-CXR (Nguyen et al. 2022): the fourteen boxed classes of its detection challenge, on its test part.

Its layout is that of `prepare`'s adapter (PhysioNet, or Kaggle's `train.csv`). The boxes of several readers of one
image that overlap enough are one lesion, as everywhere; those of the test part are a consensus already.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from patchclip_core.reports.names import plain
from patchclip_trainer.data.adapters.vindr import VINDR
from patchclip_trainer.data.label_domains import LabelDomains, lesions_of, load_label_domains
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols.measures import box_precision, image_auc, sensitivity_by_points
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Case, Protocol, PublishedRow, Question, there_is
from patchclip_trainer.evaluation.protocols.reading import digest_of_files, of_split, pictures_in

QUESTIONS = (
    there_is("Aortic enlargement"),
    there_is("Atelectasis", "atelectasis"),
    there_is("Calcification"),
    there_is("Cardiomegaly", "cardiomegaly"),
    there_is("Consolidation", "opacity"),
    there_is("ILD", words="interstitial lung disease"),
    there_is("Infiltration", "opacity"),
    there_is("Lung Opacity", "opacity"),
    there_is("Nodule/Mass", "nodule_mass", words="lung nodule or mass"),
    there_is("Other lesion"),
    there_is("Pleural effusion", "pleural_effusion"),
    there_is("Pleural thickening"),
    there_is("Pneumothorax", "pneumothorax"),
    there_is("Pulmonary fibrosis"),
)


def read(folder: Path, split: str) -> Benchmark:
    """Read one part. Raises `DataError` where the folder is not laid out as VinDr-CXR."""
    if not VINDR.recognises(folder):
        raise DataError(f"{folder} is not laid out as {VINDR.title}")
    manifest = VINDR.read(folder)
    rows = of_split(manifest.images, split, folder)
    drawn: dict[str, list[BoxRow]] = defaultdict(list)
    for box in manifest.boxes:
        drawn[box.image].append(box)
    domains = load_label_domains()
    cases = tuple(
        _case(index, question, row, drawn[row.image], domains)
        for index, row in enumerate(rows)
        for question in QUESTIONS
    )

    radiograph, size_px = pictures_in(folder)
    lists = sorted([*folder.glob("annotations/*.csv"), *folder.glob("train.csv")])
    about = f"VinDr-CXR, {split}: fourteen classes"
    return Benchmark(
        about,
        rows,
        QUESTIONS,
        cases,
        radiograph,
        size_px,
        digest_of_files(folder, lists),
        tuple(map(str, manifest.problems)),
    )


def _case(index: int, question: Question, row: ImageRow, boxes: list[BoxRow], domains: LabelDomains) -> Case:
    name = plain(question.group)
    # Under its own name, so that a class is not merged with the others of its finding.
    of_class = [box for box in boxes if plain(box.finding) == name]
    alone = domains.model_copy(update={"findings": {question.key: (question.group,)}})
    lesions = lesions_of(of_class, question.key, alone)
    return Case(index, question.key, bool(lesions) or name in {plain(label) for label in row.labels}, lesions)


VINDR_CXR = Protocol(
    name="vindr-cxr",
    title="VinDr-CXR: fourteen classes",
    split="test",
    read=read,
    measures=(sensitivity_by_points(1.0), box_precision(0.4), box_precision(0.4, 101), image_auc()),
    beside=(
        PublishedRow("sensitivity_at_1", 0.80, "best published, trained on 51,485 boxed scans"),
        PublishedRow("average_precision_at_0.4", 0.31, "best published"),
        PublishedRow("average_precision_at_0.4", 0.21, "YOLOv5"),
        PublishedRow("average_precision_at_0.4", 0.04, "frozen CLIP with a DETR head"),
    ),
    remark=(
        "mAP@.4, the mean over the fourteen classes, may be laid beside these rows where the whole test part was "
        "measured. For the sensitivity the publication's rule of a hit is not known here: ours is a point in a box, "
        "for each class by itself; lay it beside .80 with that said. Kaggle's train images with boxes of single "
        "readers are another task."
    ),
)
