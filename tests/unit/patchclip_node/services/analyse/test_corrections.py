"""The same SOP Instance UID comes again with other bytes, or in another study."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom import Dataset

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.domain.records import ResultRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.services.analyse.study import CAME_AGAIN
from patchclip_node.services.rejection_notes import RejectionNotes
from tests.support.analysis import radiograph_file, receive
from tests.support.bench import PACS, Bench, summary_of
from tests.support.studies import OWNER, newest_revision

UID = "1.2.3.4.5"
EVERYTHING = PACS.model_copy(update={"objects": tuple(ResultKind)})


def results_of(bench: Bench, revision: int = 1, study: str = "1.2.3") -> list[ResultRecord]:
    return bench.ledger.studies.results(bench.ledger.studies.revisions(study)[revision - 1].id)


def read(bench: Bench, record: ResultRecord) -> Dataset:
    return pydicom.dcmread(io.BytesIO(bench.spool.files[record.result.spool_key]))


def deliver(ledger: SqlLedger, bench: Bench) -> None:
    """Deliver all that is due, and the notes that withdraw what was corrected."""
    RejectionNotes(ledger.recalls, bench.spool, DerivedUidGenerator(), "NODE", bench.clock, bench.clock).run_once()
    while lease := ledger.deliveries.lease(bench.clock.now(), OWNER, 60, [EVERYTHING.name]):
        for delivery in lease.deliveries:
            ledger.deliveries.confirm(delivery.id, OWNER, bench.clock.now())


@pytest.mark.parametrize("copies", [2, 3])
def test_of_several_copies_within_one_revision_the_last_is_analysed(bench: Bench, copies: int) -> None:
    bench.destinations = (EVERYTHING,)
    for number in range(copies):
        bench.arrive(f"{number}.dcm", SOPInstanceUID=UID, AccessionNumber=f"A{number}")

    bench.run_one()

    study = bench.study()
    assert (study.state, study.instance_count, study.accession_number) == (StudyState.ANALYSED, 1, f"A{copies - 1}")
    assert len(summary_of(study).images) == 1
    assert [one.image_reason for one in bench.ledger.studies.instances("1.2.3")] == [CAME_AGAIN] * (copies - 1) + [None]
    assert len(results_of(bench)) == len({one.result.sop_instance_uid for one in results_of(bench)}) >= 7
    assert {read(bench, one).AccessionNumber for one in results_of(bench)} == {f"A{copies - 1}"}


@pytest.mark.parametrize("before", ["analysed", "returned"])
def test_a_correction_of_an_analysed_study_is_a_revision_that_names_its_predecessor(bench: Bench, before: str) -> None:
    bench.destinations = (EVERYTHING,)
    bench.arrive("first.dcm", SOPInstanceUID=UID, AccessionNumber="WRONG")
    bench.run_one()
    if before == "returned":
        deliver(bench.ledger, bench)
    bench.arrive("corrected.dcm", SOPInstanceUID=UID, AccessionNumber="RIGHT")

    bench.run_one()
    deliver(bench.ledger, bench)

    assert [one.state for one in bench.ledger.studies.revisions("1.2.3")] == [StudyState.RETURNED] * 2
    assert newest_revision(bench.ledger).accession_number == "RIGHT"
    first, corrected = results_of(bench, 1), results_of(bench, 2)
    assert not {one.result.sop_instance_uid for one in first} & {one.result.sop_instance_uid for one in corrected}
    (old,) = (one for one in first if one.result.kind is ResultKind.SR)
    (report,) = (read(bench, one) for one in corrected if one.result.kind is ResultKind.SR)
    (predecessor,) = report.PredecessorDocumentsSequence
    (named,) = predecessor.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert (named.ReferencedSOPInstanceUID, report.AccessionNumber) == (old.result.sop_instance_uid, "RIGHT")


def test_bytes_that_came_before_change_nothing_even_after_a_correction(bench: Bench) -> None:
    first = radiograph_file(bench.folder, "first.dcm", SOPInstanceUID=UID, AccessionNumber="WRONG")
    receive(bench.ledger, bench.spool, first)
    bench.arrive("corrected.dcm", SOPInstanceUID=UID, AccessionNumber="RIGHT")
    receive(bench.ledger, bench.spool, first)

    bench.run_one()

    assert {read(bench, one).AccessionNumber for one in results_of(bench)} == {"RIGHT"}


def test_an_instance_in_two_studies_has_results_in_each(bench: Bench) -> None:
    bench.destinations = (EVERYTHING,)
    for study in ("1.2.3", "1.2.4"):
        receive(bench.ledger, bench.spool, radiograph_file(bench.folder, study, study, SOPInstanceUID=UID))
    bench.ledger.arrivals.close_quiet(bench.clock.now(), 0)

    assert [bench.run_one() for _ in range(2)] == [True, True]

    one, other = (results_of(bench, study=study) for study in ("1.2.3", "1.2.4"))
    assert len(one) == len(other) >= 7
    for name in ("sop_instance_uid", "series_instance_uid"):
        assert not {getattr(item.result, name) for item in one} & {getattr(item.result, name) for item in other}
    planes = [{read(bench, item).get("FrameOfReferenceUID") for item in study} - {None} for study in (one, other)]
    assert planes[0]
    assert not planes[0] & planes[1]
