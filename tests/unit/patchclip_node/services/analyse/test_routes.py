"""Routes decide which images of a study are analysed, and which destinations its results are planned for."""

from __future__ import annotations

from datetime import timedelta

from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.trial_patient import CANARY_ID
from patchclip_node.settings import RouteSettings
from tests.support.bench import PACS, SEG_ONLY, Bench, summary_of

CHILDREN = {"name": "children", "when": {"age": {"below": 16}}, "analyse": False}


def routes(*written: dict[str, object]) -> tuple[RouteSettings, ...]:
    return tuple(RouteSettings.model_validate(one) for one in written)


def test_an_image_whose_route_says_so_is_not_analysed_and_has_that_as_its_reason(bench: Bench) -> None:
    bench.routes = routes(CHILDREN)
    child = bench.arrive("child.dcm", PatientAge="006Y")
    adult = bench.arrive("adult.dcm", PatientAge="060Y")
    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.ANALYSED
    assert [image.sop_instance_uid for image in summary_of(study).images] == [adult]
    reasons = {
        one.instance.header.sop_instance_uid: one.image_reason
        for one in bench.ledger.studies.instances(study.study_instance_uid)
    }
    assert reasons == {child: "the route children says that such images are not analysed", adult: None}


def test_a_study_without_an_image_to_analyse_is_rejected_with_the_routes_reason(bench: Bench) -> None:
    bench.routes = routes(CHILDREN)
    bench.arrive(PatientAge="006Y")
    bench.run_one()

    assert (bench.study().state, bench.study().reason) == (
        StudyState.REJECTED,
        "the route children says that such images are not analysed",
    )


def test_the_rule_of_the_header_comes_before_the_routes(bench: Bench) -> None:
    bench.routes = routes(CHILDREN)
    bench.arrive(PatientAge="006Y", ViewPosition="LL")
    bench.run_one()

    assert "only frontal views" in str(bench.study().reason)


def test_results_are_planned_for_the_destinations_of_the_route_alone(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY)
    bench.routes = routes({"name": "ward", "when": {"sender": ["MOD*"]}, "destinations": ["viewer"]})
    bench.arrive()
    bench.run_one()

    assert {one.destination for one in bench.ledger.studies.deliveries(bench.study().id)} == {"viewer"}


def test_results_that_a_route_holds_wait_where_the_finding_is_there(bench: Bench) -> None:
    bench.routes = routes(
        {"name": "gate", "release": "held", "hold": {"findings": ["opacity"], "after_h": 2, "then": "drop"}}
    )
    bench.arrive()
    bench.run_one()

    assert bench.study().state is StudyState.HELD
    deliveries = bench.ledger.studies.deliveries(bench.study().id)
    assert {(one.state, one.not_before, one.last_error) for one in deliveries} == {
        (DeliveryState.HELD, bench.clock.now() + timedelta(hours=2), "held by the route gate")
    }


def test_results_go_where_the_finding_that_would_hold_them_is_not_there(bench: Bench) -> None:
    bench.decoder.bright = False
    bench.routes = routes({"name": "gate", "release": "held", "hold": {"findings": ["opacity"]}})
    bench.arrive()
    bench.run_one()

    assert bench.study().state is StudyState.ANALYSED


def test_in_shadow_mode_a_study_is_analysed_and_kept(bench: Bench) -> None:
    bench.routes = routes({"name": "shadow", "release": "never"})
    bench.arrive()
    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.KEPT
    assert summary_of(study).images
    assert bench.ledger.studies.results(study.id)
    assert bench.ledger.studies.deliveries(study.id) == []


def test_a_destination_that_one_image_may_not_go_to_gets_nothing_of_the_study(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY)
    bench.routes = routes(
        {"name": "old", "when": {"age": {"at_least": 60}}, "destinations": ["pacs", "viewer"]},
        {"name": "young", "when": {"age": {"below": 60}}, "destinations": ["pacs"]},
    )
    bench.arrive("a.dcm", PatientAge="070Y")
    bench.arrive("b.dcm", PatientAge="050Y")
    bench.run_one()

    assert {one.destination for one in bench.ledger.studies.deliveries(bench.study().id)} == {"pacs"}


def test_a_canary_is_analysed_and_goes_nowhere_whatever_the_routes_say(bench: Bench) -> None:
    bench.destinations = (PACS, SEG_ONLY)
    bench.routes = routes({"name": "nothing", "analyse": False})
    bench.arrive(PatientID=CANARY_ID)
    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.KEPT
    assert bench.ledger.studies.results(study.id), "its results are built"
    assert bench.ledger.studies.deliveries(study.id) == []
    assert bench.ledger.figures.probabilities(bench.analyzer.identity.weights_digest) == {}, (
        "nor does it count as a patient's"
    )


def test_probabilities_of_a_patients_images_are_kept_for_figures(bench: Bench) -> None:
    bench.arrive()
    bench.run_one()

    kept = bench.ledger.figures.probabilities(bench.analyzer.identity.weights_digest)

    (image,) = summary_of(bench.study()).images
    assert kept == {one.key: [one.probability] for one in image.findings if one.probability is not None}
    assert kept
