"""What reports and key objects share: flags, evidence, orders, predecessors."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import Predecessor, build_results
from tests.support.objects import object_of
from tests.support.synthetic import analysed, result_context

REPORTS = [
    ResultVariant(kind, language=language) for kind in (ResultKind.SR, ResultKind.TEXT_SR) for language in ("en", "de")
]


OPACITY = {"opacity": [(3, 3, 3, 3)]}


def test_a_report_is_complete_unverified_and_preliminary() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    assert report.SOPClassUID == ComprehensiveSRStorage
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert "VerifyingObserverSequence" not in report


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.key)
def test_a_report_of_a_later_revision_has_other_uids_and_names_the_earlier_one_of_its_variant(
    variant: ResultVariant,
) -> None:
    """Not the one in another language or of another kind, which its destination may never have got."""
    everything = [*REPORTS, ResultVariant(ResultKind.SEG, PlaneGeometry.IDENTITY)]
    before = build_results([analysed(OPACITY)], [], result_context(), everything)
    earlier = tuple(
        Predecessor(each.key, report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID)
        for each, report in before
    )

    ((_, second),) = build_results([analysed(OPACITY)], [], result_context(2, earlier), [variant])

    (first,) = (report for each, report in before if each == variant)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [first.SOPInstanceUID]


def test_the_evidence_is_the_analysed_images() -> None:
    images = [analysed(OPACITY), analysed({}, SOPInstanceUID="1.2.3.9")]

    report = object_of(ResultKind.SR, images)

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    referenced = [
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(referenced) == sorted(image.facts.sop_instance_uid for image in images)


def test_the_order_is_passed_on() -> None:
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP1", "SPS1"

    report = object_of(ResultKind.SR, [analysed({}, RequestAttributesSequence=[request])])

    (item,) = report.ReferencedRequestSequence
    assert (item.RequestedProcedureID, item.AccessionNumber) == ("RP1", "A100")
