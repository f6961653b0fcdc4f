"""The data sheet's tables: who looked for a finding, and what is known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.knowledge import TOGETHER, as_lines, knowledge
from patchclip_trainer.data.label_domains import load_label_domains, reason_to_leave_out
from patchclip_trainer.data.manifest import BoxRow, ImageRow

NIH, LIST = "NIH ChestX-ray14", "NIH BBox_List_2017 (radiologist)"
RSNA = "RSNA Pneumonia 2018 (radiologists) via RSNA-to-NIH pixel match"
DET = "ChestX-Det (radiologists; Apache-2.0 repo)"


def _row(name: str, split: str = "train", **known: object) -> ImageRow:
    return ImageRow(name, f"patient {name}", split, source=NIH, **known)  # type: ignore[arg-type] # what a test needs


def _box(image: str, finding: str, source: str, x: float = 0) -> BoxRow:
    return BoxRow(image, finding, Box(x, 0, 20, 20), source=source)


ROWS = [
    _row("list", labels=("Pneumonia",), view="AP"),
    _row("both", labels=("Pneumonia",), view="AP", rsna_class="Lung Opacity"),
    _row("contradicted", labels=("Pneumonia",), view="AP", rsna_class="Normal"),
    _row("det", view="PA", chestxdet=("Consolidation", "Consolidation")),
    _row("det normal", "val", view="PA", chestxdet=("no abnormality boxed",)),
    _row("normal PA", labels=("No Finding",), view="PA"),
    _row("normal AP", labels=("No Finding",), view="AP"),
]
BOXES = {
    "list": [_box("list", "Pneumonia", LIST)],
    "both": [
        _box("both", "Pneumonia", LIST),
        _box("both", "Lung Opacity", RSNA, 2),
        _box("both", "Lung Opacity", RSNA, 60),
    ],
    "contradicted": [_box("contradicted", "Pneumonia", LIST)],
    "det": [_box("det", "Consolidation", DET), _box("det", "Consolidation", DET, 60)],
}


def test_each_source_s_reads_boxes_negatives_and_unknowns_are_counted() -> None:
    known = knowledge(ROWS, BOXES, load_label_domains())["opacity"]

    def of(source: str, part: str = "train") -> dict[str, int]:
        return {column: counts[part] for column, counts in known[source].items() if counts[part]}

    assert set(known) == {LIST, "RSNA", "ChestX-Det", f"labels of {NIH}", TOGETHER}
    assert of(LIST) == {"positive": 3, "boxed": 3, "boxed in part": 3, "lesions": 3, "unknown": 3}
    assert of("RSNA") == {"read": 2, "positive": 1, "boxed": 1, "lesions": 2, "negative": 1, "unknown": 4}
    assert of("ChestX-Det") == {"read": 1, "positive": 1, "boxed": 1, "lesions": 2, "unknown": 5}
    assert of("ChestX-Det", "val") == {"read": 1, "negative": 1}
    assert of(f"labels of {NIH}") == {"read": 4, "positive": 3, "negative": 1, "unknown": 2}
    assert of(TOGETHER) == {
        "read": 2, "positive": 3, "boxed": 3, "boxed in part": 1, "lesions": 5, "negative": 1, "unknown": 2,
    }  # fmt: skip


def test_a_person_reads_a_table_a_finding_with_the_parts_in_each_cell() -> None:
    lines = as_lines(knowledge(ROWS, BOXES, load_label_domains()))

    assert "### opacity, train / val" in lines
    assert "| ChestX-Det | 1 / 1 | 1 / 0 | 1 / 0 | 0 / 0 | 2 / 0 | 0 / 1 | 5 / 0 |" in lines


@pytest.mark.real_data
def test_the_boxed_images_are_those_that_the_data_s_own_page_counts(real_data_dir: Path) -> None:
    from patchclip_trainer.data.adapters.generic import GENERIC

    manifest, domains = GENERIC.read(real_data_dir), load_label_domains()
    boxes: dict[str, list[BoxRow]] = {}
    for box in manifest.boxes:
        boxes.setdefault(box.image, []).append(box)

    known = knowledge(manifest.images, boxes, domains)

    counted = {
        key: known[key][TOGETHER]["boxed"]
        for key in ("atelectasis", "cardiomegaly", "pleural_effusion", "pneumothorax")
    }
    assert counted == {
        "atelectasis": {"train": 122, "val": 33},
        "cardiomegaly": {"train": 109, "val": 19},
        "pleural_effusion": {"train": 164, "val": 29},
        "pneumothorax": {"train": 62, "val": 7},
    }
    for key in counted:
        together, listed = known[key][TOGETHER], known[key][LIST]
        assert listed["read"] == {"train": 0, "val": 0}
        assert listed["negative"] == {"train": 0, "val": 0}
        assert 0 < together["boxed in part"]["train"] <= listed["boxed"]["train"]
    left_out = sum(reason_to_leave_out(row, domains) is not None for row in manifest.images)
    assert left_out == 2
