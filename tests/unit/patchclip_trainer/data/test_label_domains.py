from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import (
    LabelState,
    disagreements,
    intersection_over_union,
    label_of,
    lesions_of,
    load_label_domains,
    normal_by_words,
    reason_to_leave_out,
    rest_known,
    text_label_of,
)
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.errors import DataError

NIH = "NIH ChestX-ray14"
RSNA_BOXES = "RSNA Pneumonia 2018 (radiologists) via RSNA-to-NIH pixel match"
NIH_BOXES = "NIH BBox_List_2017 (radiologist)"


def _row(**known: object) -> ImageRow:
    fields: dict[str, object] = {"image": "images/a.png", "patient_id": "p", "source": NIH, **known}
    return ImageRow(**fields)  # type: ignore[arg-type] # a test names only what it needs


def _box(finding: str, source: str, box: Box | None = None) -> BoxRow:
    return BoxRow("images/a.png", finding, box or Box(10, 10, 20, 20), source=source)


@pytest.mark.parametrize("answer", ["Normal", "No Lung Opacity / Not Normal"])
def test_the_rsna_readers_looked_for_opacity_alone(answer: str) -> None:
    row = _row(rsna_class=answer)

    assert label_of(row, [], "opacity") is LabelState.READER_NEGATIVE
    assert label_of(row, [], "pleural_effusion") is LabelState.UNKNOWN


def test_what_chestxdet_read_and_did_not_name_is_a_reader_negative_but_edema_was_not_read() -> None:
    row = _row(chestxdet=("no abnormality boxed",))

    assert label_of(row, [], "pneumothorax") is LabelState.READER_NEGATIVE
    assert label_of(row, [], "opacity") is LabelState.READER_NEGATIVE
    assert label_of(row, [], "edema") is LabelState.UNKNOWN


def test_a_box_makes_a_positive_of_every_name_of_the_group_and_a_missing_one_no_negative() -> None:
    boxes = [_box("Ground Glass Opacity", NIH_BOXES)]

    assert label_of(_row(), boxes, "opacity") is LabelState.POSITIVE
    assert label_of(_row(), boxes, "cardiomegaly") is LabelState.UNKNOWN


def test_a_read_outweighs_text_mined_labels_which_stay_known_apart() -> None:
    row = _row(labels=("Pneumonia",), rsna_class="Normal")

    assert label_of(row, [], "opacity") is LabelState.READER_NEGATIVE
    assert text_label_of(row, "opacity") is LabelState.TEXT_POSITIVE
    assert label_of(row, [], "pleural_effusion") is LabelState.TEXT_NEGATIVE
    assert label_of(row, [], "fracture") is LabelState.UNKNOWN


def test_labels_of_a_cohort_say_nothing_of_an_image() -> None:
    row = _row(source="ieee8023 covid-chestxray (Cohen)", labels=("Pneumonia",))

    assert label_of(row, [], "opacity") is LabelState.UNKNOWN


def test_labels_of_a_source_that_is_not_listed_make_positives_and_no_negatives() -> None:
    row = _row(source="our hospital", labels=("Effusion",))

    assert label_of(row, [], "pleural_effusion") is LabelState.TEXT_POSITIVE
    assert label_of(row, [], "opacity") is LabelState.UNKNOWN


def test_the_nih_list_against_the_rsna_readers_is_a_contradiction_and_is_listed() -> None:
    row, boxes = _row(rsna_class="Normal"), [_box("Pneumonia", NIH_BOXES)]

    found = disagreements([row], {row.image: boxes})

    assert label_of(row, boxes, "opacity") is LabelState.UNKNOWN
    assert [(item.image, item.finding, item.left_out) for item in found] == [(row.image, "opacity", True)]
    assert (found[0].positive, found[0].negative) == ((NIH_BOXES,), ("RSNA",))


def test_a_consolidation_that_the_rsna_readers_did_not_count_stays_positive_and_is_listed() -> None:
    row, boxes = _row(rsna_class="Normal", chestxdet=("Consolidation",)), [_box("Consolidation", "ChestX-Det")]

    found = disagreements([row], {row.image: boxes})

    assert label_of(row, boxes, "opacity") is LabelState.POSITIVE
    assert [item.left_out for item in found] == [False]


def test_overlapping_boxes_of_two_sources_are_one_lesion() -> None:
    one, other, apart = Box(10, 10, 20, 20), Box(12, 12, 20, 20), Box(60, 60, 20, 20)

    lesions = lesions_of(
        [_box("Pneumonia", NIH_BOXES, one), _box("Lung Opacity", RSNA_BOXES, other), _box("Mass", RSNA_BOXES, apart)],
        "opacity",
    )

    assert [lesion.boxes for lesion in lesions] == [(one, other)]
    assert lesions[0].contains(31.5, 31.5)
    assert not lesions[0].contains(50, 50)


def test_overlapping_boxes_of_two_readers_of_one_source_are_one_lesion() -> None:
    boxes = [
        BoxRow("images/a.png", "Nodule/Mass", Box(10, 10, 20, 20), source="VinDr-CXR", reader="R8"),
        BoxRow("images/a.png", "Nodule/Mass", Box(12, 12, 20, 20), source="VinDr-CXR", reader="R9"),
    ]

    assert len(lesions_of(boxes, "nodule_mass")) == 1


@pytest.mark.parametrize(
    ("answer", "state"), [("NO", LabelState.READER_NEGATIVE), ("YES", LabelState.POSITIVE)], ids=["no", "yes"]
)
def test_an_expert_who_was_asked_for_pneumothorax_alone_says_nothing_else(answer: str, state: LabelState) -> None:
    row = _row(source="SIIM-ACR Pneumothorax 2019", adjudicated=(f"Pneumothorax={answer}",))

    assert label_of(row, [], "pneumothorax") is state
    assert label_of(row, [], "opacity") is LabelState.UNKNOWN
    assert label_of(_row(adjudicated=row.adjudicated), [], "pneumothorax") is LabelState.UNKNOWN


def test_labels_by_readers_make_negatives_of_what_they_looked_for() -> None:
    row = _row(source="VinDr-CXR", labels=("Pleural effusion",))

    assert label_of(row, [], "pleural_effusion") is LabelState.POSITIVE
    assert label_of(row, [], "edema") is LabelState.READER_NEGATIVE


def test_overlapping_boxes_of_one_reader_stay_two_lesions() -> None:
    boxes = [_box("Nodule", "ChestX-Det", Box(10, 10, 20, 20)), _box("Mass", "ChestX-Det", Box(12, 12, 20, 20))]

    assert len(lesions_of(boxes, "nodule_mass")) == 2


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_nearly_equal_boxes_of_a_source_that_does_not_tell_its_readers_apart_are_one_lesion(shift: int) -> None:
    boxes = [_box("Nodule", "Ours", Box(10, 10, 20, 20)), _box("Nodule", "Ours", Box(10 + shift, 10, 20, 20))]
    apart = _box("Nodule", "Ours", Box(20, 10, 20, 20))

    assert len(lesions_of(boxes, "nodule_mass")) == 1
    assert len(lesions_of([*boxes, apart], "nodule_mass")) == 2


def test_boxes_that_overlap_less_than_the_file_says_stay_two_lesions() -> None:
    one, other = Box(0, 0, 20, 20), Box(0, 11, 20, 20)

    lesions = lesions_of([_box("Pneumonia", NIH_BOXES, one), _box("Lung Opacity", RSNA_BOXES, other)], "opacity")

    assert intersection_over_union(one, other) == pytest.approx(180 / 620)
    assert len(lesions) == 2


@pytest.mark.parametrize("name", ["nih_00000011_000", "nih_00000022_000"])
def test_the_two_images_known_to_be_wrong_are_left_out_with_a_reason(name: str) -> None:
    assert reason_to_leave_out(_row(image=f"images/{name}.jpg"), load_label_domains())
    assert reason_to_leave_out(_row(), load_label_domains()) is None


def test_a_finding_that_is_not_listed_is_named_by_the_error(tmp_path: Path) -> None:
    path = tmp_path / "domains.yaml"
    path.write_text("findings: {opacity: [Opacity]}\nreads: {A: {column: chestxdet, looked_for: [oedema]}}\n")

    with pytest.raises(DataError, match="oedema"):
        load_label_domains(path)


def test_a_typing_error_in_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "domains.yaml"
    path.write_text("findings: {opacity: [Opacity]}\nleftout: {}\n")

    with pytest.raises(DataError, match="leftout"):
        load_label_domains(path)


@pytest.mark.real_data
def test_45_images_contradict_themselves_for_opacity_and_are_left_out(real_data_dir: Path) -> None:
    from patchclip_trainer.data.adapters.generic import GENERIC

    manifest = GENERIC.read(real_data_dir)
    boxes = {row.image: [box for box in manifest.boxes if box.image == row.image] for row in manifest.images}
    nih = [row for row in manifest.images if row.source == NIH]

    states = [label_of(row, boxes[row.image], "opacity") for row in nih]
    left_out = [item for item in disagreements(nih, boxes) if item.left_out]

    listed = [row for row, state in zip(nih, states, strict=True) if row.image in {item.image for item in left_out}]
    assert len(left_out) == len(listed) == 45
    assert all(label_of(row, boxes[row.image], "opacity") is LabelState.UNKNOWN for row in listed)
    assert all(row.rsna_class in {"Normal", "No Lung Opacity / Not Normal"} for row in listed)
    assert states.count(LabelState.POSITIVE) == 384
    assert states.count(LabelState.READER_NEGATIVE) == 514


def test_what_a_source_calls_possible_is_neither_positive_nor_negative() -> None:
    row = _row(labels=("Effusion",), uncertain=("Edema", "Effusion"))

    assert label_of(row, (), "edema") is LabelState.UNKNOWN
    assert label_of(row, (), "pleural_effusion") is LabelState.TEXT_POSITIVE
    assert label_of(row, (), "cardiomegaly") is LabelState.TEXT_NEGATIVE


def test_readers_who_are_not_sure_are_no_negative() -> None:
    row = _row(source="VinDr-CXR", labels=("Cardiomegaly",), uncertain=("Edema",))

    assert label_of(row, (), "edema") is LabelState.UNKNOWN
    assert label_of(row, (), "pneumothorax") is LabelState.READER_NEGATIVE


READ_FOR_OPACITY = {"rsna": {"rsna_class": "Lung Opacity"}, "chestx-det": {"chestxdet": ("Consolidation",)}}


@pytest.mark.parametrize(
    ("finding", "name"),
    [
        ("opacity", "Pneumonia"),
        ("nodule_mass", "Mass"),
        ("cardiomegaly", "Cardiomegaly"),
        ("pneumothorax", "Pneumothorax"),
    ],
)
def test_outside_of_the_boxes_of_nih_s_list_a_finding_is_unknown(finding: str, name: str) -> None:
    assert not rest_known(_row(labels=(name,)), [_box(name, NIH_BOXES)], finding)


@pytest.mark.parametrize("read", READ_FOR_OPACITY.values(), ids=READ_FOR_OPACITY.keys())
def test_a_read_of_the_image_knows_the_rest_also_where_the_list_has_a_box(read: dict[str, object]) -> None:
    assert rest_known(_row(**read), [_box("Pneumonia", NIH_BOXES)], "opacity")


def test_a_read_knows_the_rest_of_what_it_looked_for_alone() -> None:
    row = _row(rsna_class="No Lung Opacity / Not Normal")

    assert not rest_known(row, [_box("Mass", NIH_BOXES)], "nodule_mass")
    assert rest_known(_row(chestxdet=("Effusion",)), [_box("Mass", NIH_BOXES)], "nodule_mass")


def test_a_list_box_that_chestxdet_did_not_name_stays_and_the_rest_is_absent() -> None:
    row, boxes = _row(chestxdet=("Effusion",)), [_box("Atelectasis", NIH_BOXES)]

    assert label_of(row, boxes, "atelectasis") is LabelState.POSITIVE
    assert rest_known(row, boxes, "atelectasis")


@pytest.mark.parametrize("source", [RSNA_BOXES, "ChestX-Det (radiologists; Apache-2.0 repo)", "our readers", ""])
def test_other_sources_of_boxes_mark_all_that_they_see(source: str) -> None:
    assert rest_known(_row(), [_box("Lung Opacity", source)], "opacity")


def test_boxes_of_a_list_and_of_a_read_know_the_rest_together() -> None:
    boxes = [_box("Pneumonia", NIH_BOXES), _box("Lung Opacity", RSNA_BOXES)]

    assert rest_known(_row(), boxes, "opacity")


@pytest.mark.parametrize(
    ("view", "state"),
    [
        ("PA", LabelState.TEXT_NEGATIVE),
        ("AP", LabelState.UNKNOWN),
        ("AP supine", LabelState.UNKNOWN),
        ("", LabelState.UNKNOWN),
    ],
)
def test_no_finding_is_a_negative_on_pa_films_and_unknown_on_others(view: str, state: LabelState) -> None:
    row = _row(labels=("No Finding",), view=view)

    for finding in (
        "opacity",
        "pleural_effusion",
        "cardiomegaly",
        "pneumothorax",
        "atelectasis",
        "edema",
        "nodule_mass",
    ):
        assert label_of(row, (), finding) is state
        assert normal_by_words(row, finding) is (view == "PA")
    assert label_of(row, (), "fracture") is LabelState.UNKNOWN
    assert label_of(row, (), "no_finding") is LabelState.TEXT_POSITIVE


def test_an_ap_film_on_which_something_was_found_lacks_the_rest() -> None:
    row = _row(labels=("Effusion",), view="AP")

    assert label_of(row, (), "cardiomegaly") is LabelState.TEXT_NEGATIVE
    assert not normal_by_words(row, "cardiomegaly")


def test_a_reader_outweighs_no_finding_in_either_view() -> None:
    for view in ("PA", "AP"):
        row = _row(labels=("No Finding",), view=view, chestxdet=("no abnormality boxed",))
        assert label_of(row, (), "pneumothorax") is LabelState.READER_NEGATIVE
        boxed = _row(labels=("No Finding",), view=view)
        assert label_of(boxed, [_box("Lung Opacity", RSNA_BOXES)], "opacity") is LabelState.POSITIVE


def test_no_finding_of_a_source_without_the_rule_is_a_negative_in_every_view_and_no_proof() -> None:
    row = _row(source="MIMIC-CXR", labels=("No Finding",), view="AP")

    assert label_of(row, (), "edema") is LabelState.TEXT_NEGATIVE
    assert not normal_by_words(row, "edema")


def test_three_boxes_in_a_chain_are_one_lesion_whatever_their_names() -> None:
    boxes = [
        _box("Pneumonia", NIH_BOXES, Box(0, 0, 30, 30)),
        _box("Lung Opacity", RSNA_BOXES, Box(12, 0, 30, 30)),
        _box("Consolidation", "ChestX-Det", Box(24, 0, 30, 30)),
    ]

    assert intersection_over_union(boxes[0].box, boxes[2].box) < 0.3
    assert [len(lesion.boxes) for lesion in lesions_of(boxes, "opacity")] == [3]


@pytest.mark.real_data
def test_of_the_list_s_boxes_those_on_read_images_alone_know_the_rest(real_data_dir: Path) -> None:
    from patchclip_trainer.data.adapters.generic import GENERIC

    manifest = GENERIC.read(real_data_dir)
    boxes = {row.image: [box for box in manifest.boxes if box.image == row.image] for row in manifest.images}

    for finding, name in (
        ("cardiomegaly", "Cardiomegaly"),
        ("pneumothorax", "Pneumothorax"),
        ("atelectasis", "Atelectasis"),
    ):
        for row in manifest.images:
            drawn = {box.source for box in boxes[row.image] if box.finding == name}
            if drawn:
                assert rest_known(row, boxes[row.image], finding) is bool(row.chestxdet)


@pytest.mark.real_data
def test_the_normal_images_that_words_speak_of_are_pa(real_data_dir: Path) -> None:
    from patchclip_trainer.data.adapters.generic import GENERIC

    rows = GENERIC.read(real_data_dir).images
    called = [row for row in rows if row.source == NIH and row.labels == ("No Finding",)]
    normal = [row for row in rows if normal_by_words(row, "pneumothorax")]

    assert {row.view for row in normal} == {"PA"}
    assert len(normal) == sum(row.view == "PA" for row in called) == 926
