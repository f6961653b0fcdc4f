"""RSNA Pneumonia Detection Challenge 2018: is there pneumonia, asked by text.

Its layout is that of `prepare`'s adapter: `stage_2_train_labels.csv` and the DICOM files. Lung opacity as
radiologists read it is the positive class; the two other classes, normal or not, are the negative one. Labels of the
challenge's test part are not public, so all images with a label are measured.
"""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters.rsna import RSNA
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols.measures import image_auc
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Case, Protocol, there_is
from patchclip_trainer.evaluation.protocols.reading import digest_of_files, of_split, pictures_in

QUESTIONS = (there_is("Pneumonia", "opacity"),)


def read(folder: Path, split: str) -> Benchmark:
    """Read the classes. Raises `DataError` where the folder is not laid out as the challenge's."""
    if not RSNA.recognises(folder):
        raise DataError(f"{folder} is not laid out as {RSNA.title}")
    manifest = RSNA.read(folder)
    rows = of_split(manifest.images, split, folder)

    radiograph, size_px = pictures_in(folder)
    cases = tuple(Case(index, QUESTIONS[0].key, row.rsna_class == "Lung Opacity") for index, row in enumerate(rows))
    return Benchmark(
        "RSNA Pneumonia 2018, labelled images",
        rows,
        QUESTIONS,
        cases,
        radiograph,
        size_px,
        digest_of_files(folder, sorted(folder.glob("*.csv"))),
        tuple(map(str, manifest.problems)),
    )


RSNA_PNEUMONIA = Protocol(
    name="rsna",
    title="RSNA pneumonia: image AUC",
    split="all",
    read=read,
    measures=(image_auc(),),
    beside=(),
    remark=(
        "No published row is listed: publications measure parts of their own making of these images. Lay it beside "
        "other models measured by this command on the same images."
    ),
)
