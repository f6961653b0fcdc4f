"""What a radiologist finally wrote is laid beside the node's answer: once, of the right study, without its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from patchclip_core.reports.names import load_finding_names
from patchclip_core.values.answers import Answer
from patchclip_core.values.definitions import load_findings
from patchclip_node.audit import events
from patchclip_node.domain.agreement import AgreementSource, FindingAgreement
from patchclip_node.domain.final_reports import FinalReport, ReadReport, ReportStatus
from patchclip_node.domain.states import StudyState
from patchclip_node.services.final_reports import Outcome, ReportDesk, Taken
from tests.support.analysis import radiograph_file, receive
from tests.support.fakes import START, make_ledger
from tests.support.studies import bring_to
from tests.unit.patchclip_node.services.test_returned import UID, Site, site

__all__ = ["site"]
BY = events.person("rita")
WORDS = "Opacity in the left lung. No pneumothorax. Possible effusion."
REPORT = FinalReport("here", ReportStatus.FINAL, UID, ("A1",), frozenset({"P1"}), "r1", START, WORDS)

Take = Callable[..., Taken]


@pytest.fixture
def take(site: Site) -> Take:
    """Give a report to the desk of a node that found an opacity: take(what is other than in REPORT)."""
    desk = ReportDesk(site.ledger.studies, site.ledger.final_reports, site.clock, load_findings(), load_finding_names())
    return lambda **other: desk.take(replace(REPORT, **other), BY)


def agreed(site: Site) -> dict[str, FindingAgreement]:
    return {one.finding: one for one in site.ledger.verdicts.agreement() if one.source is AgreementSource.REPORT}


def test_each_finding_that_a_report_speaks_of_is_compared_with_what_the_node_found(site: Site, take: Take) -> None:
    assert take().outcome is Outcome.KEPT

    found = agreed(site)
    assert set(found) == {"opacity", "pneumothorax", "pleural_effusion"}
    assert (found["opacity"].both, found["pneumothorax"].neither) == (1, 1)
    assert (found["pleural_effusion"].unsure, found["pleural_effusion"].number) == (1, 0)


def test_the_words_are_not_kept_and_the_audit_trail_tells_the_rest(site: Site, take: Take) -> None:
    take()

    (kept,) = site.ledger.final_reports.of_study(UID)
    assert kept.read.answers["pneumothorax"] is Answer.ABSENT
    told = [one.event for one in site.ledger.audit.pending(0) if "report:" in str(one.event)]
    assert len(told) == 1
    assert "pneumothorax absent" in str(told[0])
    assert "left lung" not in str([kept, told])


def test_the_same_report_again_changes_nothing(site: Site, take: Take) -> None:
    take()
    site.clock.advance(3600)

    assert take(where="another file").outcome is Outcome.KNOWN
    assert len(site.ledger.final_reports.of_study(UID)) == 1


def test_a_corrected_report_replaces_whatever_order_they_come_in(site: Site, take: Take) -> None:
    later: dict[str, Any] = {"status": ReportStatus.CORRECTED, "issued_at": START + timedelta(hours=1)}
    later["text"] = "The lungs are clear."

    assert take(**later).outcome is Outcome.KEPT
    assert take().outcome is Outcome.KEPT

    assert {key: (one.both, one.node_only) for key, one in agreed(site).items()} == {"opacity": (0, 1)}


def test_a_withdrawn_report_counts_no_more(site: Site, take: Take) -> None:
    take()

    assert take(status=ReportStatus.WITHDRAWN, text="", issued_at=START + timedelta(hours=1)).outcome is Outcome.KEPT
    assert agreed(site) == {}


def test_columns_and_codes_say_what_words_do(site: Site, take: Take) -> None:
    take(text="", codes=(("36118008", "SCT"), ("1", "SCT")), answers={"opacity": Answer.ABSENT})

    found = agreed(site)
    assert {key: (one.node_only, one.reader_only) for key, one in found.items()} == {
        "opacity": (1, 0),
        "pneumothorax": (0, 1),
    }


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        ({"status": ReportStatus.NOT_FINAL}, Outcome.NOT_FINAL),
        ({"study_instance_uid": "9.9"}, Outcome.NO_STUDY),
        ({"study_instance_uid": "", "accession_numbers": ("A999",)}, Outcome.NO_STUDY),
        ({"study_instance_uid": "", "accession_numbers": ("X", "A1")}, Outcome.KEPT),
        ({"patient_ids": frozenset()}, Outcome.KEPT),
        ({"patient_ids": frozenset({"P7"})}, Outcome.REFUSED),
        ({"study_instance_uid": "", "accession_numbers": ()}, Outcome.REFUSED),
        ({"text": "Kein Pneumothorax."}, Outcome.REFUSED),
        ({"text": " "}, Outcome.REFUSED),
        ({"answers": {"edma": Answer.ABSENT}}, Outcome.REFUSED),
    ],
)
def test_only_what_is_surely_of_one_study_is_kept(
    site: Site, take: Take, other: dict[str, Any], outcome: Outcome
) -> None:
    taken = take(**other)

    assert taken.outcome is outcome
    assert bool(taken.why) is (outcome is Outcome.REFUSED)
    assert len(site.ledger.final_reports.of_study(UID)) == (outcome is Outcome.KEPT)


def test_two_studies_of_one_accession_number_are_told_apart_by_the_patient_or_refused(site: Site, take: Take) -> None:
    tags = {"SOPInstanceUID": "1.9.1", "PatientID": "P200"}
    path = radiograph_file(site.folder, "other.dcm", "1.9", **tags)
    receive(site.ledger, site.spool, path, site.clock.now())
    by_number: dict[str, Any] = {"study_instance_uid": ""}

    assert "2 studies have its accession number" in take(**by_number, patient_ids=frozenset()).why
    assert take(**by_number).outcome is Outcome.KEPT
    assert take(**by_number, patient_ids=frozenset({"P200"})).outcome is Outcome.NOT_ANALYSED


def test_reports_leave_with_their_study(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    study = bring_to(ledger, StudyState.RETURNED)
    said, found = {"edema": Answer.ABSENT}, {"edema": True}
    report = ReadReport(UID, study.revision, "r1", ReportStatus.FINAL, None, "", said, found)
    assert ledger.final_reports.keep(report, BY, START)

    assert ledger.retention.forget(UID, (), START)

    assert ledger.final_reports.of_study(UID) == []
    with pytest.raises(KeyError):
        ledger.final_reports.keep(report, BY, START)
    ledger.close()
