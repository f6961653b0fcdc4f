"""Images meet the text that is theirs, what else holds for them, and no box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from patchclip_trainer.data.label_domains import SourceLabels, load_label_domains
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import DataError
from patchclip_trainer.training.stage1.pairs import Folds, Pairs, collect_pairs, sentences_of
from tests.support.reported import write_reported

DOMAINS = load_label_domains()
HELD_OUT = Folds(held_out=0)
TEMPLATE = "Frontal AP radiograph. Findings: effusion, pleural thickening. Effusion in the left lower zone."


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return write_reported(tmp_path / "prepared")


@pytest.fixture
def pairs(data: PreparedData) -> Pairs:
    return collect_pairs(data, "reports", HELD_OUT, DOMAINS)


def test_a_template_is_taken_apart_without_view_and_without_places() -> None:
    said = sentences_of(ImageRow("a.png", "p", synthetic_text=TEMPLATE), "label_template", DOMAINS)

    assert [sentence.text for sentence in said] == ["effusion.", "pleural thickening."]


def test_labels_that_were_not_taken_from_the_image_make_no_text() -> None:
    domains = DOMAINS.model_copy(update={"labels": {"cohort": SourceLabels(by="nobody")}})
    row = ImageRow("a.png", "p", source="cohort", synthetic_text=TEMPLATE, text="Left effusion.")

    assert sentences_of(row, "label_template", domains) == ()
    assert [sentence.text for sentence in sentences_of(row, "reports", domains)] == ["Left effusion."]


def test_a_report_gives_findings_and_impression_each_sentence_once() -> None:
    row = ImageRow("a.png", "p", text="HISTORY: Cough. FINDINGS: Left effusion. IMPRESSION: Left effusion. No edema.")

    assert [said.text for said in sentences_of(row, "reports", DOMAINS)] == ["Left effusion.", "No edema."]


def test_patients_are_held_out_and_no_other_split_is_touched(pairs: Pairs, data: PreparedData) -> None:
    assert len(pairs.train) + len(pairs.held_out) == 30
    assert not set(pairs.train) & set(pairs.held_out)
    assert {data.rows[int(index)].split for index in (*pairs.train, *pairs.held_out)} == {"train"}


def test_a_fold_that_is_left_out_is_the_same_whatever_else_is_apart(data: PreparedData) -> None:
    alone = collect_pairs(data, "reports", Folds(left_out=3), DOMAINS)
    both = collect_pairs(data, "label_template", Folds(held_out=1, left_out=3), DOMAINS)

    assert alone.left_out.tolist() == both.left_out.tolist()
    assert len(alone.left_out) == 6
    assert len(alone.train) == 24
    assert len(both.train) == 18
    assert not set(both.train) & {*both.left_out, *both.held_out}


def test_drawn_sentences_are_the_same_for_the_same_numbers_and_vary_with_them(pairs: Pairs) -> None:
    drawn = [pairs.drawn(0, 1, (7, epoch)).words for epoch in range(20)]

    assert drawn == [pairs.drawn(0, 1, (7, epoch)).words for epoch in range(20)]
    assert set(drawn) == {sentence.text for sentence in pairs.sentences[0]}
    both = pairs.drawn(0, 2, (7, 3)).words
    assert [both.find(said.text) for said in pairs.sentences[0] if said.text in both] == sorted(
        both.find(said.text) for said in pairs.sentences[0] if said.text in both
    )
    assert pairs.drawn(0, None, (7, 3)) == pairs.whole(0)


def test_equal_and_equivalent_texts_hold_for_each_other(pairs: Pairs) -> None:
    left, right, none = 0, 1, 2
    drawn = [pairs.drawn(left, 1, (0, epoch)) for epoch in range(12)]
    (no_effusion,) = {text for text in drawn if "effusion" in text.words}
    (on_the_left,) = {text for text in drawn if "left" in text.words}
    assert no_effusion.words not in pairs.whole(right).words  # said in other words there

    holds = pairs.true_of([left, right, none], [no_effusion, on_the_left])

    assert holds.tolist() == [[True, True], [True, False], [False, False]]


def test_a_text_that_comes_twice_in_a_batch_is_taken_once(data: PreparedData) -> None:
    pairs = collect_pairs(data, "label_template", HELD_OUT, DOMAINS)
    indices = pairs.train[:9]

    batch = pairs.batch(indices, [pairs.whole(int(index)) for index in indices])

    assert len(batch.texts) == 2
    assert batch.positives.shape == (9, 2)
    assert batch.positives.sum(axis=1).tolist() == [1] * 9
    assert all(pairs.whole(owner).words == text.words for owner, text in zip(batch.owners, batch.texts, strict=True))


def test_data_without_text_are_refused(data: PreparedData) -> None:
    silent = replace(data, rows=tuple(replace(row, text="") for row in data.rows))

    with pytest.raises(DataError, match="no image of the train split has report text"):
        collect_pairs(silent, "reports", HELD_OUT, DOMAINS)


def test_only_images_of_the_wanted_licence_classes_are_paired(data: PreparedData) -> None:
    rows = tuple(replace(row, licence_class="cc-nc" if place % 2 else "open") for place, row in enumerate(data.rows))

    pairs = collect_pairs(replace(data, rows=rows), "reports", HELD_OUT, DOMAINS, ["open"])

    assert {rows[int(index)].licence_class for index in (*pairs.train, *pairs.held_out)} == {"open"}
    assert pairs.without_text == 15


def test_what_is_trained_on_is_described_by_its_true_name(data: PreparedData, pairs: Pairs) -> None:
    assert pairs.describe().startswith("report text: 24 images of 24 patients (toy (24))")
    template = collect_pairs(data, "label_template", Folds(), DOMAINS)
    assert template.describe().startswith("label-template pretraining: 30 images")
    assert pairs.describe().endswith("; another 6 images for early stopping")
    assert "early stopping" not in template.describe()
    assert "report" not in template.describe()
