"""Sentences say the same where they state the same of the same findings; sides follow from one another."""

from __future__ import annotations

import pytest

from patchclip_core.reports.sentences import sentences
from patchclip_core.reports.statements import (
    ABNORMALITY,
    Statement,
    implied_by,
    meaning_of,
    names_a_place,
    plain_words,
    statements_of,
)


def stated(text: str) -> set[Statement]:
    (sentence,) = sentences(text)
    return set(statements_of(sentence))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a small left pleural effusion.", {Statement("pleural effusion", True, "left")}),
        (
            "No pleural effusion or pneumothorax.",
            {Statement("pleural effusion", False), Statement("pneumothorax", False)},
        ),
        ("Ground-glass opacities in both lungs.", {Statement("ground glass opacity", True, "both")}),
        ("Consolidation in the RLL.", {Statement("consolidation", True, "right")}),
        ("Normal heart size.", {Statement("cardiomegaly", False)}),
        ("The heart is enlarged.", {Statement("cardiomegaly", True)}),
        ("The lungs are clear.", {Statement("lung opacity", False)}),
        ("No acute finding.", {Statement(ABNORMALITY, False)}),
        ("CXR: Normal", {Statement(ABNORMALITY, False)}),
        ("Cardiomegaly, but no edema.", {Statement("cardiomegaly", True), Statement("pulmonary edema", False)}),
        ("Multiple nodules and masses.", {Statement("nodule", True), Statement("mass", True)}),
        ("The patient is rotated.", set()),
    ],
)
def test_a_sentence_states_findings_with_their_side(text: str, expected: set[Statement]) -> None:
    assert stated(text) == expected


def test_a_longer_name_is_not_also_the_shorter_one() -> None:
    assert stated("Ground glass opacity.") == {Statement("ground glass opacity", True)}
    assert stated("Rib fracture.") == {Statement("rib fracture", True)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("There is no pleural effusion.", "No effusions are seen."),
        ("Large right effusion.", "Right-sided pleural effusion, increased."),
        ("The patient is rotated.", "the patient is  ROTATED"),
    ],
)
def test_other_words_for_the_same_statements_mean_the_same(one: str, other: str) -> None:
    assert meaning_of(sentences(one)) == meaning_of(sentences(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pleural effusion.", "No pleural effusion."),
        ("Left pleural effusion.", "Right pleural effusion."),
        ("Pneumonia.", "Consolidation."),
        ("The patient is rotated.", "The film is underexposed by much."),
    ],
)
def test_other_statements_do_not_mean_the_same(one: str, other: str) -> None:
    assert meaning_of(sentences(one)) != meaning_of(sentences(other))


def test_sides_follow_from_one_another() -> None:
    left, nowhere = (meaning_of(sentences(text)) for text in ("Left effusion.", "No effusion."))

    assert Statement("pleural effusion", True) in implied_by(left)
    assert Statement("pleural effusion", True, "right") not in implied_by(left)
    assert Statement("pleural effusion", False, "left") in implied_by(nowhere)
    assert Statement("pleural effusion", False) not in implied_by(meaning_of(sentences("No left effusion.")))


def test_places_are_noticed() -> None:
    assert names_a_place("Lung Opacity in the right mid zone.")
    assert names_a_place("Fracture in the central lower zone.")
    assert not names_a_place("Findings: pleural thickening, pneumonia.")


def test_words_are_compared_without_punctuation() -> None:
    assert plain_words("No change,  as of [DATE].") == "no change as of date"
