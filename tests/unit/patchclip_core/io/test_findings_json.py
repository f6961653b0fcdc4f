"""Findings that are kept: whatever a model said, what is read back is equal and draws the same picture."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from patchclip_core.drawing import draw_overlay
from patchclip_core.errors import KeptFindingsError
from patchclip_core.io.findings_json import findings_from_json, findings_to_json
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Finding, Findings, FindingState, Radiograph, Sensitivity
from patchclip_core.values.scores import STEPS, Scores
from tests.support.synthetic import absent, findings_for, not_seen, of_state, source_image

DEFINITIONS = load_findings()


def whole() -> Findings:
    """Findings in which each field says something."""
    found = findings_for(
        source_image(Rows=500, Columns=400), {"opacity": [(4, 4, 5, 5)], "pneumothorax": [(1, 1, 2, 3)]}
    )
    percentiles = tuple(number / STEPS for number in range(STEPS + 1))
    said = replace(
        found.items[0],
        sensitivity=Sensitivity(0.7, 0.6, None, 120, "radiologists"),
        lookalikes=("effusion",),
        firm_threshold=0.1 + 0.2,
        scores=Scores(percentiles, percentiles),
        region_threshold=1 / 3,
    )
    body = np.random.default_rng(0).random((13, 17)) > 0.5
    return replace(found, items=(said, *found.items[1:]), remarks=("Ein Satz: öäü 試験",), body=body)


def assert_equal(one: Findings, other: Findings) -> None:
    for field in fields(Findings):
        if field.name not in {"items", "body"}:
            assert getattr(one, field.name) == getattr(other, field.name)
    assert_same_array(one.body, other.body)
    assert len(one.items) == len(other.items)
    for mine, others in zip(one.items, other.items, strict=True):
        for field in fields(Finding):
            if field.name != "patch_map":
                assert getattr(mine, field.name) == getattr(others, field.name), field.name
        assert_same_array(mine.patch_map, others.patch_map)


def assert_same_array(one: np.ndarray | None, other: np.ndarray | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "findings",
    [
        whole(),
        replace(whole(), items=(absent("opacity"), not_seen("edema")), body=None),
        replace(whole(), items=tuple(of_state("opacity", state) for state in FindingState)),
    ],
)
def test_what_is_read_back_is_what_was_kept(findings: Findings) -> None:
    content = json.loads(json.dumps(findings_to_json(findings)))

    assert_equal(findings_from_json(content), findings)
    assert json.dumps(findings_to_json(findings_from_json(content))) == json.dumps(content)


@pytest.mark.parametrize("heat_map", [False, True])
def test_what_is_read_back_draws_the_same_picture(heat_map: bool) -> None:
    radiograph = Radiograph(np.random.default_rng(1).random((500, 400), dtype=np.float32))
    findings = whole()

    pictures = [
        draw_overlay(radiograph, one, DEFINITIONS, heat_map=heat_map)
        for one in (findings, findings_from_json(findings_to_json(findings)))
    ]

    assert pictures[0].tobytes() == pictures[1].tobytes()


def damaged() -> list[object]:
    document = findings_to_json(whole())
    without = {name: value for name, value in document.items() if name != "model"}
    more = {**document, "findings": [{**document["findings"][0], "colour": "red"}]}
    other = {**document, "version": 2}
    short = {**document, "body": {"shape": [13, 17], "bytes": "AAAA"}}
    broken = {**document, "body": {"shape": [13, 17], "bytes": "%%%"}}
    return [None, [], {}, without, more, other, short, broken]


@pytest.mark.parametrize("content", damaged())
def test_what_cannot_be_read_says_so(content: object) -> None:
    with pytest.raises(KeptFindingsError, match="kept"):
        findings_from_json(content)
