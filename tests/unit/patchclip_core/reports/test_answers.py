"""What a report says of each finding, against reports that physicians have indexed; no other language is guessed."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from patchclip_core.errors import ReportLanguageError
from patchclip_core.reports.answers import answers_of
from patchclip_core.reports.language import is_english
from patchclip_core.reports.names import load_finding_names
from patchclip_core.values.answers import Answer

NAMES = load_finding_names()
PRESENT, ABSENT, UNSURE = Answer.PRESENT, Answer.ABSENT, Answer.UNSURE


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("There is a small left pleural effusion.", {"pleural_effusion": PRESENT}),
        ("No pleural effusion or pneumothorax.", {"pleural_effusion": ABSENT, "pneumothorax": ABSENT}),
        ("Possible small pneumothorax.", {"pneumothorax": UNSURE}),
        ("A pneumothorax cannot be excluded.", {"pneumothorax": UNSURE}),
        ("Pneumothorax is not excluded.", {"pneumothorax": UNSURE}),
        ("Edema is suspected, but no effusion.", {"edema": UNSURE, "pleural_effusion": ABSENT}),
        ("FINDINGS: Small nodule?", {"nodule_mass": UNSURE}),
        ("FINDINGS: History of rib fracture.", {"fracture": UNSURE}),
        ("No left effusion. Small right effusion.", {"pleural_effusion": PRESENT}),
        ("Possible effusion. No effusion on the right.", {"pleural_effusion": UNSURE}),
        ("The heart is not enlarged.", {"cardiomegaly": ABSENT}),
        ("The patient is rotated.", {}),
        ("INDICATION: Rule out pneumothorax.\nFINDINGS: The heart is enlarged.", {"cardiomegaly": PRESENT}),
    ],
)
def test_a_report_says_there_not_there_not_sure_or_nothing(report: str, said: dict[str, Answer]) -> None:
    assert answers_of(report, NAMES) == said


def test_a_name_of_several_findings_is_there_for_each_and_denied_for_the_narrowest() -> None:
    assert answers_of("There is pneumonia.", NAMES) == {"pneumonia": PRESENT, "opacity": PRESENT}
    assert answers_of("There is no pneumonia.", NAMES) == {"pneumonia": ABSENT}
    assert answers_of("There is no consolidation.", NAMES) == {"opacity": ABSENT}


def test_a_normal_image_has_nothing_and_one_without_acute_disease_may_have_something_old() -> None:
    normal = answers_of("Normal chest radiograph.", NAMES)

    assert set(normal.values()) == {ABSENT}
    assert set(normal) == set(NAMES) - {"no_finding"}
    assert answers_of("Normal chest, but for a rib fracture.", NAMES)["fracture"] is PRESENT
    assert answers_of("No acute cardiopulmonary disease.", NAMES) == {}


@pytest.mark.parametrize(
    "report",
    [
        "Kein Nachweis eines Pneumothorax.",
        "Pneumothorax ausgeschlossen.",
        "Pas de pneumothorax.",
        "Pneumothorax à gauche.",
        "Sin neumotórax ni derrame pleural.",
        "Geen pneumothorax.",
        "Il n'y a pas d'épanchement pleural.",
        "Herz nicht vergrößert. Keine Infiltrate.",
    ],
)
def test_another_language_is_refused_and_not_guessed(report: str) -> None:
    with pytest.raises(ReportLanguageError, match="not in English"):
        answers_of(report, NAMES)


@pytest.mark.real_data
def test_answers_agree_with_what_physicians_indexed() -> None:
    """Open-I's reports were indexed by two physicians each. Where a report is silent or unsure, nothing is counted."""
    indexed = {
        "pleural_effusion": {"pleural effusion"},
        "cardiomegaly": {"cardiomegaly"},
        "pneumothorax": {"pneumothorax", "hydropneumothorax"},
        "atelectasis": {"pulmonary atelectasis"},
        "edema": {"pulmonary edema"},
        "nodule_mass": {"nodule", "mass"},
        "fracture": {"fractures, bone"},
        "opacity": {"opacity", "airspace disease", "consolidation", "infiltrate", "pneumonia"},
    }
    counts: Counter[tuple[str, bool, Answer | None]] = Counter()
    with Path(os.environ["PATCHCLIP_TEST_DATA"], "text", "openi_reports.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = f"FINDINGS: {row['findings']}\nIMPRESSION: {row['impression']}"
            assert is_english(text)
            answers = answers_of(text, NAMES)
            heads = {entry.split("/")[0].strip().lower() for entry in row["mesh_major"].split("|")}
            for finding, words in indexed.items():
                counts[finding, bool(heads & words), answers.get(finding)] += 1

    for finding in indexed:
        there, not_there = (counts[finding, True, answer] for answer in (PRESENT, ABSENT))
        assert there / (there + not_there) > 0.95, finding  # of what it answers, with the finding
        there, not_there = (counts[finding, False, answer] for answer in (PRESENT, ABSENT))
        assert not_there / (there + not_there) > 0.88, finding
