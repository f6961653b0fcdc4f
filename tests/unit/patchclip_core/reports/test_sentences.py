"""Reports in the style of radiologists: headings, lists, blanks of de-identification, and what is denied."""

from __future__ import annotations

import pytest

from patchclip_core.reports.sentences import kept_of, says_something, sections, sentences, without_identifiers

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough. Evaluate for pneumonia.

 COMPARISON:  Chest radiograph from ___

 FINDINGS:

 PA and lateral views of the chest provided. There is no focal consolidation,
 effusion, or pneumothorax. The cardiomediastinal silhouette is normal.

 IMPRESSION:

 1. No acute intrathoracic process.
 2. Dr. ___ was informed; stable small nodule."""


def test_findings_and_impression_are_kept_and_the_rest_is_left() -> None:
    found = sections(REPORT)

    assert found.findings.startswith("PA and lateral views")
    assert found.findings.endswith("silhouette is normal.")
    assert found.impression.startswith("1. No acute")
    assert "pneumonia" not in found.findings + found.impression


def test_a_report_without_headings_counts_as_findings() -> None:
    found = sections("Heart size normal. Lungs clear.")

    assert (found.findings, found.impression) == ("Heart size normal. Lungs clear.", "")


def test_sentences_are_split_at_ends_and_list_numbers_but_not_at_abbreviations() -> None:
    found = [sentence.text for sentence in sentences(sections(REPORT).impression)]

    assert found == ["No acute intrathoracic process.", "Dr. ___ was informed; stable small nodule."]


def test_a_missing_blank_between_sentences_does_not_join_them() -> None:
    assert [item.text for item in sentences("Heart size normal.No effusion is seen.")] == [
        "Heart size normal.",
        "No effusion is seen.",
    ]


def test_a_measurement_does_not_end_a_sentence() -> None:
    assert len(sentences("A nodule of 1.5 cm is seen in the right upper lobe.")) == 1


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("No pleural effusion or pneumothorax.", "pneumothorax"),
        ("There is no evidence of pneumothorax.", "pneumothorax"),
        ("The lungs are clear without focal consolidation.", "consolidation"),
        ("Lungs are free of effusion.", "effusion"),
        ("Pleural effusion is not seen.", "effusion"),
        ("The left effusion has resolved.", "effusion"),
        ("Negative for pneumothorax.", "pneumothorax"),
        ("Neither effusion nor pneumothorax is identified.", "pneumothorax"),
        ("Resolution of the right effusion.", "effusion"),
        ("There does not appear to be an effusion.", "effusion"),
    ],
)
def test_a_denied_finding_is_negated(text: str, term: str) -> None:
    (sentence,) = sentences(text)

    assert sentence.negates(term) is True
    assert sentence.is_negative


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("There is a small left effusion.", "effusion"),
        ("No pneumothorax, but there is a small effusion.", "effusion"),
        ("No significant change in the right effusion.", "effusion"),
        ("An effusion cannot be excluded.", "effusion"),
        ("No pneumothorax; small effusion.", "effusion"),
        ("Effusion is seen, pneumothorax is not seen.", "effusion"),
        ("No abnormality except a small nodule.", "nodule"),
    ],
)
def test_a_finding_that_is_there_is_not_negated(text: str, term: str) -> None:
    (sentence,) = sentences(text)

    assert sentence.negates(term) is False


def test_a_term_that_is_not_said_is_neither() -> None:
    (sentence,) = sentences("The heart is normal.")

    assert sentence.negates("effusion") is None


@pytest.mark.parametrize("text", ["", "  ", "XXXX.", "None.", "___", "1.", "N/A"])
def test_blanks_say_nothing(text: str) -> None:
    assert not says_something(text)
    assert sentences(text) == ()


def test_dates_names_and_numbers_are_taken_out() -> None:
    text = "Seen by Dr. Anna Ward on 12/03/2024, compared to March 3, 2023; accession 12345678, nodule 1.5 cm."

    assert without_identifiers(text) == "Seen by ___ on ___, compared to ___; accession ___, nodule 1.5 cm."


@pytest.mark.parametrize(
    "date", ["2184-06-11", "11/06/2184", "June 11, 2184", "11 June 2184", "11-Jun-2184", "1984.06.11", "June 2184"]
)
def test_dates_of_any_century_are_taken_out(date: str) -> None:
    assert without_identifiers(f"Compared to {date}, no change.") == "Compared to ___, no change."


def test_a_number_that_letters_touch_is_taken_out() -> None:
    assert without_identifiers("See MRN44556677.") == "See MRN___."


def test_only_findings_and_impression_of_a_report_are_kept_and_read_as_before() -> None:
    report = "INDICATION: John Smith, 45M. FINDINGS: Seen by Dr. Jane Doe. No effusion.\nIMPRESSION: Normal."

    kept = kept_of(report)

    assert kept == "FINDINGS: Seen by ___. No effusion.\nIMPRESSION: Normal."
    assert sections(kept).impression == "Normal."
    assert [item.text for item in sentences(sections(kept).findings)] == ["Seen by ___.", "No effusion."]
    assert kept_of(kept) == kept


@pytest.mark.parametrize("report", ["", "INDICATION: John Smith, cough.", "FINDINGS: ___\nIMPRESSION: None."])
def test_nothing_is_kept_of_a_report_without_findings_or_impression(report: str) -> None:
    assert kept_of(report) == ""
