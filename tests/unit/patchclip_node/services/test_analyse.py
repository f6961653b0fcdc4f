"""A leased study becomes results in the spool and a settled record in the ledger, whatever happens on the way."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image

from patchclip_core.drawing import draw_overlay
from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import LedgerUnavailableError, StorageFullError
from patchclip_node.domain.records import Drawing, PlaneGeometry, ResultKind, StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.task_queue import Work
from patchclip_node.results.wording import SIDE_NOT_STATED
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.study_summary import StudySummary
from patchclip_node.settings import DestinationSettings, NodeSettings, ProfileSettings
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, FakeQueue, MemorySpool, make_ledger
from tests.support.studies import LEASE_S, OWNER, POLICY, newest_revision, only_revision

PACS = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
SEG_ONLY = DestinationSettings(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=105, objects=(ResultKind.SEG,))


@dataclass
class Bench:
    """A service with all that it works on."""

    folder: Path
    ledger: SqlLedger
    spool: MemorySpool
    decoder: FakeDecoder = field(default_factory=FakeDecoder)
    analyzer: OpacityEverywhere = field(default_factory=OpacityEverywhere)
    queue: FakeQueue = field(default_factory=FakeQueue)
    clock: FakeClock = field(default_factory=FakeClock)
    destinations: tuple[DestinationSettings, ...] = (PACS,)
    profiles: tuple[ProfileSettings, ...] = ()
    attempts: int = 3

    def run_one(self) -> bool:
        settings = NodeSettings(destinations=self.destinations, profiles=self.profiles)
        analysis = StudyAnalysis(self.spool, self.decoder, self.analyzer, result_issuer(), settings.result_plan)
        policy = replace(POLICY, analysis_attempts=self.attempts, backoff_s=10)
        return AnalysisService(self.ledger.analyses, analysis, self.queue, self.clock, policy).run_one(OWNER)

    def study(self) -> StudyRecord:
        return only_revision(self.ledger)

    def arrive(self, name: str = "one.dcm", **attributes: Any) -> str:
        """Let an image of study 1.2.3 arrive; returns its SOP Instance UID."""
        path = radiograph_file(self.folder, name, **attributes)
        received = receive(self.ledger, self.spool, path, self.clock.now())
        if name in self.decoder.troubles:
            self.decoder.troubles[received.spool_key] = self.decoder.troubles[name]
        self.ledger.arrivals.close_quiet(self.clock.now(), 0)
        return received.header.sop_instance_uid


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    ledger = make_ledger(tmp_path)
    yield Bench(tmp_path, ledger, MemorySpool(tmp_path / "spool"))
    ledger.close()


def summary_of(study: StudyRecord) -> StudySummary:
    assert study.summary_json is not None
    return StudySummary.model_validate_json(study.summary_json)


def test_with_nothing_due_nothing_is_done(bench: Bench) -> None:
    assert bench.run_one() is False


def test_a_study_with_a_present_finding_gets_a_report_and_a_segmentation(bench: Bench) -> None:
    source_uid = bench.arrive()

    assert bench.run_one() is True

    study = bench.study()
    results = [delivery.result for delivery in bench.ledger.studies.deliveries(study.id)]
    assert study.state is StudyState.ANALYSED
    assert [record.result.kind for record in results] == [ResultKind.SR, ResultKind.SEG]
    for record in results:
        dataset = pydicom.dcmread(io.BytesIO(bench.spool.files[record.result.spool_key]))
        assert dataset.SOPInstanceUID == record.result.sop_instance_uid
        assert dataset.SOPClassUID == record.result.sop_class_uid
        assert dataset.StudyInstanceUID == "1.2.3"
    (image,) = summary_of(study).images
    assert image.sop_instance_uid == source_uid
    assert (image.rows, image.columns) == (128, 96)


def test_a_study_without_a_present_finding_gets_a_report_alone(bench: Bench) -> None:
    bench.decoder.bright = False
    bench.arrive()

    bench.run_one()

    deliveries = bench.ledger.studies.deliveries(bench.study().id)
    assert [delivery.result.result.kind for delivery in deliveries] == [ResultKind.SR]


def test_each_destination_gets_the_objects_that_it_wants(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY)
    bench.arrive()

    bench.run_one()

    wanted = {(item.destination, item.result.result.kind) for item in bench.ledger.studies.deliveries(bench.study().id)}
    assert wanted == {("pacs", ResultKind.SR), ("pacs", ResultKind.SEG), ("viewer", ResultKind.SEG)}
    assert bench.queue.woken == [Work.DELIVER]


def test_every_plane_that_some_destination_wants_is_built_once(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY, SEG_ONLY.model_copy(update={"name": "flat", "profile": "flat"}))
    bench.profiles = (ProfileSettings(name="flat", objects=(ResultKind.SR,), geometry=PlaneGeometry.NONE),)
    bench.arrive()

    bench.run_one()

    study_id = bench.study().id
    kinds = [record.result.kind for record in bench.ledger.studies.results(study_id)]
    assert sorted(kinds) == [ResultKind.SC, ResultKind.SEG, ResultKind.SEG, ResultKind.SR]  # the picture is kept ready
    sent = {item.destination: item.result.result.sop_instance_uid for item in bench.ledger.studies.deliveries(study_id)}
    assert len(sent) == 3
    assert sent["viewer"] != sent["flat"]


def test_a_picture_is_kept_ready_for_a_destination_that_falls_back(bench: Bench) -> None:
    bench.destinations = (PACS.model_copy(update={"profile": "careful"}),)
    bench.profiles = (ProfileSettings(name="careful", objects=(ResultKind.SR,), fallback=True),)
    bench.arrive()

    bench.run_one()

    study_id = bench.study().id
    assert [record.result.kind for record in bench.ledger.studies.results(study_id)] == [ResultKind.SR, ResultKind.SC]
    assert [item.result.result.kind for item in bench.ledger.studies.deliveries(study_id)] == [ResultKind.SR]


def test_the_pictures_that_are_kept_ready_are_those_of_each_destinations_own_profile(bench: Bench) -> None:
    bench.destinations = tuple(PACS.model_copy(update={"name": name, "profile": name}) for name in ("one", "two"))
    bench.profiles = (
        ProfileSettings(name="one", objects=(ResultKind.SR,), fallback=True),
        ProfileSettings(name="two", objects=(ResultKind.SR,), fallback=True, drawing=Drawing.HEAT_MAP, language="de"),
    )
    bench.arrive()

    bench.run_one()

    kept = {record.result.variant for record in bench.ledger.studies.results(bench.study().id)}
    assert kept == {"sr", "sr language=de", "sc", "sc drawing=heat_map language=de"}


def test_a_destination_that_wants_nothing_of_a_study_does_not_keep_it_open(bench: Bench) -> None:
    bench.destinations = (SEG_ONLY,)
    bench.decoder.bright = False
    bench.arrive()

    bench.run_one()

    assert bench.study().state is StudyState.RETURNED
    assert bench.queue.woken == []


def test_a_broker_that_is_down_does_not_undo_an_analysis(bench: Bench) -> None:
    bench.queue.down = True
    bench.arrive()

    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED


def test_the_summary_names_the_model_the_findings_the_times_and_the_overlay(bench: Bench) -> None:
    bench.arrive()

    bench.run_one()

    summary = summary_of(bench.study())
    assert summary.model.weights_digest == bench.analyzer.identity.weights_digest
    assert summary.model.trained is False
    assert list(summary.seconds) == ["fetch", "select", "decode", "model", "overlay", "results", "store"]
    (image,) = summary.images
    opacity = next(finding for finding in image.findings if finding.key == "opacity")
    assert (opacity.name, opacity.state, opacity.probability) == ("lung opacity", "present", 0.87)
    assert len(opacity.regions) == 1
    assert image.overlay_key is not None
    picture = Image.open(io.BytesIO(bench.spool.files[image.overlay_key]))
    assert picture.format == "PNG"


def test_a_picture_says_of_its_image_what_a_report_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def spy(*arguments: Any, remarks: Iterable[str], **more: Any) -> Image.Image:
        said.extend(remarks)
        return draw_overlay(*arguments, **more)

    monkeypatch.setattr("patchclip_node.services.analyse.images.draw_overlay", spy)
    bench.arrive(PatientOrientation=["R", "F"])
    bench.arrive("second.dcm", PatientOrientation="", BodyPartExamined="")

    bench.run_one()

    mirrored, unknown = "says that the image is mirrored.", "The body part is unknown:"
    assert [remark for remark in said if mirrored in remark]
    assert [remark for remark in said if unknown in remark]
    assert said.count(SIDE_NOT_STATED) == 1


def test_an_image_that_is_not_analysed_gets_its_reason_and_the_others_go_on(bench: Bench) -> None:
    bench.decoder.troubles["broken.dcm"] = UnreadableImageError("the pixel stream is cut off")
    bench.arrive("good.dcm")
    broken = bench.arrive("broken.dcm")
    lateral = bench.arrive("lateral.dcm", ViewPosition="LL")

    bench.run_one()

    reasons = {
        record.instance.header.sop_instance_uid: record.image_reason
        for record in bench.ledger.studies.instances("1.2.3")
    }
    assert bench.study().state is StudyState.ANALYSED
    assert reasons[broken] == "the pixel stream is cut off"
    assert "lateral" in (reasons[lateral] or "")
    assert {item.sop_instance_uid for item in summary_of(bench.study()).skipped} == {broken, lateral}


def test_a_study_of_which_no_image_remains_is_rejected_with_every_reason(bench: Bench) -> None:
    bench.decoder.troubles["broken.dcm"] = UnreadableImageError("the pixel stream is cut off")
    bench.arrive("broken.dcm")
    bench.arrive("lateral.dcm", ViewPosition="LL")

    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.REJECTED
    assert study.reason is not None
    assert study.reason.startswith("none of the 2 images can be analysed: ")
    assert "cut off" in study.reason
    assert "lateral" in study.reason
    assert bench.ledger.studies.results(study.id) == []


def test_a_study_of_two_patients_is_rejected_before_a_pixel_is_decoded(bench: Bench) -> None:
    bench.decoder.trouble = AssertionError("must not be asked")
    bench.arrive("one.dcm", PatientID="A")
    bench.arrive("two.dcm", PatientID="B")

    bench.run_one()

    assert bench.study().state is StudyState.REJECTED
    assert "different patients (patient IDs A and B)" in (bench.study().reason or "")


def test_without_patient_ids_two_names_are_two_patients(bench: Bench) -> None:
    bench.arrive("one.dcm", PatientID="", PatientName="Doe^Jane")
    bench.arrive("two.dcm", PatientID="", PatientName="Roe^Jane")

    bench.run_one()

    assert "different patients (two patient names)" in (bench.study().reason or "")


def test_one_patient_may_be_written_in_two_ways(bench: Bench) -> None:
    bench.arrive("one.dcm", PatientID="A ", PatientName="Doe^Jane")
    bench.arrive("two.dcm", PatientID="A", PatientName="DOE^JANE^^")

    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED


@pytest.mark.parametrize(
    "trouble", [DecoderTimeoutError("decoding took longer than 60 s"), OSError(5, "Input/output error"), MemoryError()]
)
def test_trouble_that_may_pass_postpones_the_study(bench: Bench, trouble: Exception) -> None:
    bench.decoder.trouble = trouble
    bench.arrive()

    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.RECEIVED
    assert study.not_before is not None
    assert (study.not_before - bench.clock.now()).total_seconds() == 10
    bench.decoder.trouble = None
    assert bench.run_one() is False
    bench.clock.advance(10)
    assert bench.run_one() is True
    assert bench.study().state is StudyState.ANALYSED


def test_after_its_attempts_a_study_fails_and_keeps_the_error(bench: Bench) -> None:
    bench.decoder.trouble = DecoderTimeoutError("decoding took longer than 60 s")
    bench.arrive()

    for _ in range(bench.attempts):
        assert bench.run_one() is True
        bench.clock.advance(3600)

    assert bench.study().state is StudyState.FAILED
    assert bench.study().error == "given up after attempt 3 of 3: DecoderTimeoutError: decoding took longer than 60 s"
    assert bench.run_one() is False


def test_a_study_that_kills_its_worker_is_not_tried_for_ever(bench: Bench) -> None:
    bench.arrive()
    for _ in range(bench.attempts):
        assert bench.ledger.analyses.lease(bench.clock.now(), "dead", LEASE_S) is not None
        bench.ledger.leases.expire(bench.clock.now(), ["dead"])

    bench.run_one()

    assert bench.study().state is StudyState.FAILED
    assert "given up after attempt 3 of 3" in (bench.study().error or "")
    assert bench.analyzer.batch_sizes == []


def test_a_full_spool_postpones_and_leaves_nothing_half_done(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()

    def full(chunks: object) -> None:
        raise StorageFullError("no room in the spool")

    monkeypatch.setattr(bench.spool, "write", full)

    bench.run_one()

    assert bench.study().state is StudyState.RECEIVED
    assert bench.ledger.studies.results(bench.study().id) == []


def test_a_defect_fails_the_study_at_once_with_its_error(bench: Bench) -> None:
    bench.analyzer.trouble = ZeroDivisionError("division by zero")
    bench.arrive()

    bench.run_one()

    assert bench.study().state is StudyState.FAILED
    assert bench.study().error == "ZeroDivisionError: division by zero"


def test_a_lost_lease_drops_the_work_and_its_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()
    before = set(bench.spool.files)
    analyse = bench.analyzer.analyze_batch

    def slowly(radiographs: object) -> object:
        bench.ledger.leases.expire(bench.clock.now(), [OWNER])
        return analyse(radiographs)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(bench.analyzer, "analyze_batch", slowly)

    assert bench.run_one() is True

    assert bench.study().state is StudyState.RECEIVED
    assert set(bench.spool.files) == before


def test_a_ledger_that_goes_away_leaves_the_study_to_the_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()

    def down(*args: object) -> None:
        raise LedgerUnavailableError("the ledger does not answer")

    with monkeypatch.context() as patched:
        for method in ("finish", "postpone"):
            patched.setattr(bench.ledger.analyses, method, down)
        assert bench.run_one() is True

    assert bench.study().state is StudyState.ANALYSING
    bench.ledger.leases.expire(bench.clock.advance(LEASE_S + 1))
    assert bench.run_one() is True
    assert bench.study().state is StudyState.ANALYSED


def test_a_second_revision_names_its_predecessors(bench: Bench) -> None:
    bench.arrive("one.dcm")
    bench.run_one()
    bench.clock.advance(60)
    bench.arrive("two.dcm")

    bench.run_one()

    second = newest_revision(bench.ledger)
    assert second.revision == 2
    (first,) = (study for study in bench.ledger.studies.revisions("1.2.3") if study.revision == 1)
    report = bench.ledger.studies.results(second.id)[0].result
    dataset = pydicom.dcmread(io.BytesIO(bench.spool.files[report.spool_key]))
    named = {
        item.ReferencedSOPInstanceUID
        for study_item in dataset.PredecessorDocumentsSequence
        for series in study_item.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert bench.ledger.studies.results(first.id)[0].result.sop_instance_uid in named
    assert len(summary_of(second).images) == 2


def test_many_images_are_analysed_in_bounded_batches(bench: Bench) -> None:
    for number in range(10):
        bench.arrive(f"{number}.dcm")

    bench.run_one()

    assert bench.analyzer.batch_sizes == [8, 2]
    assert len(summary_of(bench.study()).images) == 10
