"""What is built of a study, and which destination gets it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from patchclip_core.drawing import draw_overlay, prepared_picture
from patchclip_core.values.results import Findings, Radiograph
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.ports.spool import StoredFile
from patchclip_node.results import each_result
from patchclip_node.results.phrases import SIDE_NOT_STATED
from patchclip_node.services.analyse import images
from patchclip_node.services.analyse.maps import decode_findings
from patchclip_node.settings import ProfileSettings
from tests.peers.processes import wait_until
from tests.support.bench import PACS, SEG_ONLY, Bench, summary_of
from tests.support.studies import newest_revision

PICTURES = PACS.model_copy(update={"name": "ohif", "profile": "ohif"})
"""A destination that gets a picture as well."""


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


def test_every_plane_that_some_destination_wants_is_built_once(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY, SEG_ONLY.model_copy(update={"name": "flat", "profile": "flat"}))
    bench.profiles = (ProfileSettings(name="flat", objects=(ResultKind.SR,), geometry=PlaneGeometry.NONE),)
    bench.arrive()

    bench.run_one()

    study_id = bench.study().id
    kinds = [record.result.kind for record in bench.ledger.studies.results(study_id)]
    assert sorted(kinds) == [ResultKind.SEG, ResultKind.SEG, ResultKind.SR]
    sent = {item.destination: item.result.result.sop_instance_uid for item in bench.ledger.studies.deliveries(study_id)}
    assert len(sent) == 3
    assert sent["viewer"] != sent["flat"]


def test_a_destination_that_wants_nothing_of_a_study_does_not_keep_it_open(bench: Bench) -> None:
    bench.destinations = (SEG_ONLY,)
    bench.decoder.bright = False
    bench.arrive()

    bench.run_one()

    assert bench.study().state is StudyState.RETURNED


def test_the_summary_names_the_model_the_findings_the_times_and_what_is_kept(bench: Bench) -> None:
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
    assert image.overlay_key is None, "it is drawn when someone asks for it"
    assert image.maps_key is not None
    kept = decode_findings(bench.spool.files[image.maps_key])
    assert kept["opacity"].probability == pytest.approx(0.87)


def test_a_picture_says_of_its_image_what_a_report_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def spy(*arguments: Any, remarks: Iterable[str], **more: Any) -> Image.Image:
        said.extend(remarks)
        return draw_overlay(*arguments, **more)

    monkeypatch.setattr("patchclip_node.services.analyse.images.draw_overlay", spy)
    bench.destinations = (PICTURES,)
    bench.arrive(PatientOrientation=["R", "F"])
    bench.arrive("second.dcm", PatientOrientation="", BodyPartExamined="", StudyDescription="")

    bench.run_one()

    mirrored, unknown = "says that the image is mirrored.", "The body part is unknown:"
    assert [remark for remark in said if mirrored in remark]
    assert [remark for remark in said if unknown in remark]
    assert said.count(SIDE_NOT_STATED) == 1


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


def test_a_picture_that_no_destination_gets_is_neither_drawn_nor_built(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(images, "draw_overlay", lambda *_, **__: pytest.fail("no one asked for it"))
        patched.setattr(images, "prepared_picture", lambda *_: pytest.fail("no one asked for it"))
        bench.destinations = (PACS,)
        bench.arrive()
        bench.run_one()
    built = [one.result.kind for one in bench.ledger.studies.results(bench.study().id)]
    assert built == [ResultKind.SR, ResultKind.SEG]

    bench.destinations = (PACS, PICTURES)
    bench.arrive("two.dcm")
    bench.run_one()

    newest = newest_revision(bench.ledger)
    assert ResultKind.SC in {one.result.kind for one in bench.ledger.studies.results(newest.id)}


def test_without_a_picture_no_thread_is_started_to_prepare_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    analyze, names = bench.analyzer.analyze_batch, list[str]()

    def watched(radiographs: Sequence[Radiograph]) -> list[Findings]:
        names.extend(thread.name for thread in threading.enumerate())
        return analyze(radiographs)

    monkeypatch.setattr(bench.analyzer, "analyze_batch", watched)
    bench.destinations = (PACS,)
    bench.arrive()
    bench.run_one()
    assert not [name for name in names if name.startswith("preparing")]

    bench.destinations = (PICTURES,)
    bench.arrive("two.dcm")
    bench.run_one()
    assert [name for name in names if name.startswith("preparing")]


def test_files_of_a_study_do_not_wait_for_each_others_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()
    all_there, write, first = threading.Barrier(3), bench.spool.write, iter(range(3))

    def waiting(chunks: Iterable[bytes]) -> StoredFile:
        if next(first, None) is not None:
            all_there.wait(timeout=10)
        return write(chunks)

    monkeypatch.setattr(bench.spool, "write", waiting)
    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED


def test_what_is_made_is_on_its_way_to_the_disk_while_the_rest_is_being_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.arrive()
    before = len(bench.spool.files)

    def waiting(*given: Any) -> Iterator[tuple[ResultVariant, Dataset]]:
        for number, result in enumerate(each_result(*given)):
            wait_until(lambda written=before + 1 + number: len(bench.spool.files) == written, "what came before")  # type: ignore[misc]
            yield result

    monkeypatch.setattr(images, "each_result", waiting)
    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED


def test_the_picture_is_shrunk_while_the_model_is_at_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.destinations = (PICTURES,)
    bench.arrive()
    is_shrunk, analyze = threading.Event(), bench.analyzer.analyze_batch

    def shrinking(radiograph: Radiograph, longest_side_px: int) -> Image.Image:
        picture = prepared_picture(radiograph, longest_side_px)
        is_shrunk.set()
        return picture

    def waiting(radiographs: Sequence[Radiograph]) -> list[Findings]:
        assert is_shrunk.wait(timeout=10)
        return analyze(radiographs)

    monkeypatch.setattr(images, "prepared_picture", shrinking)
    monkeypatch.setattr(bench.analyzer, "analyze_batch", waiting)
    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED
