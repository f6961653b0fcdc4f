"""Images and studies that are not analysed keep the reason."""

from __future__ import annotations

from patchclip_core.errors import UnreadableImageError
from patchclip_node.domain.states import StudyState
from tests.support.bench import Bench, summary_of


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
