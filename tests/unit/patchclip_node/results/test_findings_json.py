from __future__ import annotations

import json

from patchclip_core.values.definitions import load_findings
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from patchclip_node.results.phrases import SIDE_NOT_STATED
from tests.support.synthetic import TRAINED, UNTRAINED, analysed

DEFINITIONS = load_findings()


def test_an_analysed_image_is_documented_with_all_findings_and_their_places() -> None:
    image = analysed({"opacity": [(3, 3, 3, 3)]}, remarks=("The view is unknown.",))
    region = image.findings["opacity"].regions[0]

    document = findings_document(
        [DocumentedImage("a.dcm", "1.2.1", "1.2.2", "1.2.4", image, objects=("sr.dcm",))], DEFINITIONS, TRAINED
    )

    (entry,) = json.loads(json.dumps(document))["images"]
    assert (entry["file"], entry["analysed"], entry["sop_instance_uid"]) == ("a.dcm", True, "1.2.4")
    assert (entry["rows"], entry["columns"]) == (500, 400)
    assert entry["remarks"] == ["The view is unknown."]
    assert entry["objects"] == ["sr.dcm"]
    by_key = {finding["key"]: finding for finding in entry["findings"]}
    assert list(by_key) == list(DEFINITIONS)
    opacity = by_key["opacity"]
    assert (opacity["state"], opacity["probability"], opacity["threshold"]) == ("present", 0.87, 0.5)
    (place,) = opacity["regions"]
    assert place == {
        "x": round(region.x, 2),
        "y": round(region.y, 2),
        "w": round(region.w, 2),
        "h": round(region.h, 2),
        "score": 0.87,
        "place": "patient's right, upper half",
        "patient_side": "right",
    }
    assert entry["patient_orientation"] == ["L", "F"]
    assert by_key["pneumothorax"]["state"] == "absent"
    assert by_key["pneumothorax"]["sensitivity"] == {
        "value": 0.97,
        "low": 0.93,
        "high": 0.99,
        "positives": 210,
        "judged_by": "radiologists",
    }
    assert by_key["fracture"]["state"] == "not evaluated"
    assert by_key["fracture"]["probability"] is None
    assert by_key["fracture"]["reason"] == "the model has no head for it"


def test_a_side_that_the_header_does_not_state_is_said_to_be_unknown() -> None:
    image = analysed({"opacity": [(3, 3, 3, 3)]}, PatientOrientation="")

    (entry,) = findings_document([DocumentedImage("a.dcm", "1", "2", "3", image)], DEFINITIONS, TRAINED)["images"]

    assert entry["patient_orientation"] is None
    assert entry["findings"][0]["regions"][0]["patient_side"] is None
    assert entry["remarks"] == [SIDE_NOT_STATED]


def test_what_is_of_a_whole_study_is_documented_with_the_study() -> None:
    document = findings_document([], DEFINITIONS, TRAINED, {"1.2.1": ["a-sr.dcm"], "1.2.2": []})

    assert document["studies"] == [
        {"study_instance_uid": "1.2.1", "objects": ["a-sr.dcm"]},
        {"study_instance_uid": "1.2.2", "objects": []},
    ]


def test_a_rejected_image_has_its_reason_and_no_findings() -> None:
    document = findings_document(
        [DocumentedImage("b.dcm", "1.2.1", "1.2.2", "1.2.5", reason="the view is lateral (LL)")], DEFINITIONS, TRAINED
    )

    (entry,) = document["images"]
    assert (entry["analysed"], entry["reason"]) == (False, "the view is lateral (LL)")
    assert "findings" not in entry


def test_the_document_says_which_model_and_whether_it_is_trained() -> None:
    document = findings_document([], DEFINITIONS, UNTRAINED)

    assert document["model"]["weights_digest"] == UNTRAINED.weights_digest
    assert document["model"]["trained"] is False
    assert "Not for diagnosis" in document["notice"]
    assert "UNTRAINED MODEL" in document["notice"]
