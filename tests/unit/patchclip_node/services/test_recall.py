"""A recall from the wish to the note in its lane."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydicom import Dataset, dcmread

from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.domain.errors import SpoolUnavailableError
from patchclip_node.domain.policy import RetentionPolicy
from patchclip_node.domain.recalls import RecallReason, RecallRequest, RecallScope
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import NoteKind, ResultKind, ResultVariant
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.recall import RecallService
from patchclip_node.services.rejection_notes import RejectionNotes
from patchclip_node.services.retain import RetentionService
from patchclip_node.services.study_summary import read_summary
from tests.support.analysis import radiograph_file, receive
from tests.support.bench import PACS, Bench
from tests.support.fakes import FakeSender, MemorySpool, make_ledger
from tests.support.lanes import lane
from tests.support.studies import OWNER, POLICY

KINDS = (ResultKind.SR, ResultKind.SEG, ResultKind.SC)
TO_PACS = PACS.model_copy(update={"objects": KINDS})
AE = Destination("pacs", "PACS", "127.0.0.1", 104, fallback=ResultVariant.usual(ResultKind.SC))


class Recalling(Bench):
    """A bench whose results go to `pacs`."""

    def deliver(self, sender: FakeSender) -> None:
        its = lane(AE, self.ledger, self.spool, sender, self.clock, POLICY)
        while its.run_one(OWNER):
            pass

    def request(self, scope: RecallScope = RecallScope.STUDY, subject: str = "1.2.3") -> RecallRequest:
        return RecallRequest(scope, subject, RecallReason.SAFETY, "left and right were swapped", "alice")

    @property
    def service(self) -> RecallService:
        return RecallService(self.ledger.recalls, self.spool, self.clock)

    @property
    def writer(self) -> RejectionNotes:
        uids = DerivedUidGenerator()
        return RejectionNotes(self.ledger.recalls, self.spool, uids, "PATCHCLIP", self.clock, self.clock)

    def notes(self) -> list[Dataset]:
        found = [
            one.result
            for study in self.ledger.studies.revisions("1.2.3")
            for one in self.ledger.studies.results(study.id)
            if one.result.kind is NoteKind.REJECTION_NOTE
        ]
        return [dcmread(io.BytesIO(self.spool.files[one.spool_key])) for one in found]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Recalling]:
    ledger = make_ledger(tmp_path)
    made = Recalling(tmp_path, ledger, MemorySpool(tmp_path / "spool"))
    made.destinations = (TO_PACS,)
    yield made
    ledger.close()


def named(note: Dataset) -> set[str]:
    """The objects of the evidence, which has to be those of the content."""
    items = [item for item in note.ContentSequence if item.ValueType in {"IMAGE", "COMPOSITE"}]
    in_content = {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in items}
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    in_evidence = {
        str(one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert in_content == in_evidence
    return in_evidence


def test_a_note_names_what_was_sent_and_says_why(bench: Recalling, sender: FakeSender) -> None:
    bench.arrive(PatientName="Doe^Jane", AccessionNumber="A7")
    bench.run_one()
    bench.deliver(sender)
    results = {one.result.sop_instance_uid for one in bench.ledger.studies.results(bench.study().id)}

    bench.service.recall(bench.request())
    assert bench.writer.run_once() == 1
    bench.deliver(sender)

    (note,) = bench.notes()
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert named(note) == results
    assert [item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT"][-1] == (
        "left and right were swapped"
    )
    assert (note.PatientName, note.AccessionNumber, note.StudyInstanceUID) == ("Doe^Jane", "A7", "1.2.3")
    assert bench.study().state is StudyState.RETURNED
    assert bench.writer.run_once() == 0


@pytest.mark.parametrize("scope", RecallScope)
def test_what_was_sent_is_withdrawn_after_retention_has_purged_it(
    bench: Recalling, sender: FakeSender, scope: RecallScope
) -> None:
    image = bench.arrive(PatientName="Doe^Jane", AccessionNumber="A7")
    bench.run_one()
    bench.deliver(sender)
    results = {one.result.sop_instance_uid for one in bench.ledger.studies.results(bench.study().id)}
    weights = read_summary(bench.study().summary_json)
    assert weights is not None
    retention = RetentionService(
        bench.ledger.retention, bench.ledger.studies, bench.spool, bench.clock, RetentionPolicy(7, 90, 365)
    )
    bench.clock.advance(8 * 86_400)
    assert retention.run_once() == 1
    assert (bench.ledger.studies.revisions("1.2.3"), bench.spool.files) == ([], {})

    subject = {RecallScope.IMAGE: image, RecallScope.STUDY: "1.2.3", RecallScope.MODEL: weights.model.weights_digest}
    assert len(bench.service.extent(scope, subject[scope]).results) == len(results)
    bench.service.recall(bench.request(scope, subject[scope]))
    assert bench.writer.run_once() == 1
    bench.deliver(sender)

    (note,) = bench.notes()
    assert named(note) == results
    assert (note.PatientName, note.PatientID, note.AccessionNumber) == ("Doe^Jane", "P1", "A7")
    assert bench.study().state is StudyState.RETURNED
    assert sender.received[-1][0] == "pacs"
    bench.clock.advance(8 * 86_400)
    assert retention.run_once() == 1
    assert bench.service.extent(scope, subject[scope]).results == ()


def test_a_recall_of_an_image_takes_what_speaks_of_it(bench: Recalling, sender: FakeSender) -> None:
    images = [bench.arrive(f"{number}.dcm", SOPInstanceUID=f"1.2.3.1.{number}") for number in (1, 2)]
    bench.run_one()
    bench.deliver(sender)

    extent = bench.service.extent(RecallScope.IMAGE, images[0])
    bench.service.recall(bench.request(RecallScope.IMAGE, images[0]))
    bench.writer.run_once()
    bench.deliver(sender)

    kinds = {one.result.sop_instance_uid: one.result.kind for one in bench.ledger.studies.results(bench.study().id)}
    (note,) = bench.notes()
    assert len(extent.results) == len(KINDS)
    assert sorted(kinds[uid] for uid in named(note)) == sorted(KINDS)  # of the other image its own SEG and SC stay
    states = [one.state for one in bench.ledger.studies.deliveries(bench.study().id)]
    assert states.count(DeliveryState.DELIVERED) == 3  # those two, and the note


def test_a_note_that_is_refused_is_not_replaced_by_pictures(bench: Recalling, sender: FakeSender) -> None:
    bench.arrive()
    bench.run_one()
    bench.deliver(sender)
    bench.service.recall(bench.request())
    bench.writer.run_once()
    (uid,) = [str(note.SOPInstanceUID) for note in bench.notes()]

    class Refusing(FakeSender):
        def send(self, destination: Destination, paths: list[Path]) -> list[SendOutcome]:  # type: ignore[override]
            return [SendOutcome(path, "does not accept it", permanent=True, class_refused=True) for path in paths]

    bench.deliver(Refusing())

    by_uid = {one.result.result.sop_instance_uid: one for one in bench.ledger.studies.deliveries(bench.study().id)}
    assert by_uid[uid].state is DeliveryState.FAILED
    assert bench.study().state is not StudyState.RETURNED


def test_a_note_is_built_though_the_spool_lost_what_it_withdraws(bench: Recalling, sender: FakeSender) -> None:
    bench.arrive(PatientName="Doe^Jane")
    bench.run_one()
    bench.deliver(sender)
    bench.service.recall(bench.request())
    for one in bench.ledger.studies.results(bench.study().id):
        bench.spool.delete(one.result.spool_key)

    assert bench.writer.run_once() == 1

    (note,) = bench.notes()
    assert (note.PatientName, len(named(note))) == ("Doe^Jane", len(KINDS))


def test_while_the_store_is_away_no_note_waits_for_it_after_another(
    bench: Recalling, sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = ["1.2.3", "1.2.4"]
    for study in studies:
        bench.arrive(StudyInstanceUID=study)
        bench.run_one()
    bench.deliver(sender)
    for study in studies:
        bench.service.recall(bench.request(subject=study))
    writer, waits = bench.writer, []

    def silent(*_: object, **__: object) -> None:
        waits.append("a while")
        raise SpoolUnavailableError("the store does not answer")

    with monkeypatch.context() as away, structlog.testing.capture_logs() as said:
        away.setattr(bench.spool, "local_path", silent)
        assert [writer.run_once(), writer.run_once()] == [0, 0]

    assert len(waits) == 2
    assert [(one["event"], one["error"]) for one in said] == [("room_down", "the store does not answer")]
    assert writer.run_once() == 2


def test_a_withdrawn_model_analyses_nothing_and_says_why(bench: Recalling) -> None:
    bench.service.recall(bench.request(RecallScope.MODEL, bench.analyzer.identity.weights_digest))
    bench.arrive()

    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.FAILED
    assert "recalled (safety) by alice" in (study.error or "")
    assert "requeue --all-failed" in (study.error or "")


def test_a_second_image_replaces_the_results_instead_of_adding_to_them(bench: Recalling, sender: FakeSender) -> None:
    bench.arrive("1.dcm", SOPInstanceUID="1.2.3.1.1")
    bench.run_one()
    bench.deliver(sender)
    receive(bench.ledger, bench.spool, radiograph_file(bench.folder, "2.dcm", SOPInstanceUID="1.2.3.1.2"))
    bench.ledger.arrivals.close_quiet(bench.clock.now(), 0)
    bench.run_one()

    bench.writer.run_once()
    bench.deliver(sender)

    first, second = bench.ledger.studies.revisions("1.2.3")
    (note,) = bench.notes()
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    earlier = {one.result.kind: one.result for one in bench.ledger.studies.results(first.id)}
    assert named(note) == {one.sop_instance_uid for one in earlier.values()}
    later = {one.result.kind: one.result for one in bench.ledger.studies.results(second.id)}
    report = dcmread(io.BytesIO(bench.spool.files[later[ResultKind.SR].spool_key]))
    before = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == earlier[ResultKind.SR].sop_instance_uid
    assert (first.state, second.state) == (StudyState.RETURNED, StudyState.RETURNED)
