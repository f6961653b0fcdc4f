"""The summary that the ledger keeps, and the line that lists show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from patchclip_core.values.results import FindingState, ModelIdentity
from patchclip_core.values.statement import NOTHING_SEEN
from patchclip_node.domain.states import StudyState
from patchclip_node.services.study_summary import (
    FindingSummary,
    ImageSummary,
    StudySummary,
    outcome_line,
    read_summary,
)
from tests.support.fakes import make_ledger
from tests.support.studies import bring_to


def summary(*probabilities: float, trained: bool = True) -> StudySummary:
    """A summary of one image a probability, each with an opacity that is present from 0.5 on."""
    return StudySummary(
        model=ModelIdentity(
            name="m",
            version="1",
            weights_digest="sha256:00",
            trained=trained,
            calibrated=False,
            training_data="",
            licence="",
            statement="",
        ),
        images=tuple(
            ImageSummary(
                sop_instance_uid="1.2",
                rows=10,
                columns=10,
                overlay_key=None,
                remarks=(),
                findings=(
                    FindingSummary(
                        key="opacity",
                        name="lung opacity",
                        state=FindingState.PRESENT if value >= 0.5 else FindingState.ABSENT,
                        probability=value,
                        threshold=0.5,
                        reason=None,
                        regions=(),
                    ),
                ),
            )
            for value in probabilities
        ),
        skipped=(),
        seconds={"model": 0.1},
    )


def test_a_summary_reads_back_as_it_was_written() -> None:
    assert read_summary(summary(0.7).to_json()) == summary(0.7)


@pytest.mark.parametrize("text", [None, "{}", "[]", "not JSON", '{"version":2}'])
def test_what_this_version_did_not_write_is_no_summary(text: str | None) -> None:
    assert read_summary(text) is None


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (summary(0.62, 0.87), "lung opacity present"),
        (summary(0.2), NOTHING_SEEN),
        (summary(0.87, trained=False), "untrained model, without meaning: lung opacity present"),
        (
            summary(0.2, trained=False),
            f"untrained model, without meaning: {NOTHING_SEEN}",
        ),
    ],
)
def test_the_line_says_verdicts_and_never_hides_an_untrained_model(
    written: StudySummary, line: str, tmp_path: Path
) -> None:
    ledger = make_ledger(tmp_path)
    study = replace(bring_to(ledger, StudyState.RETURNED), summary_json=written.to_json())
    ledger.close()

    assert outcome_line(study) == line


def test_the_line_of_a_failed_return_is_its_error(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    study = replace(bring_to(ledger, StudyState.RETURNED), summary_json=summary(0.9).to_json(), error="PACS is down")
    ledger.close()

    assert outcome_line(study) == "PACS is down"
