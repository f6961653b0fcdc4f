"""One verdict a finding: every output says it, in words before numbers, and none says another, in every language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pydicom import Dataset

from patchclip_core.drawing.legend import Legend
from patchclip_core.values.results import FindingState, Region
from patchclip_node.cli.analyze import _said
from patchclip_node.domain.variants import PictureStyle, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results.build import build_results
from patchclip_node.results.facts import AnalysedImage
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from patchclip_node.results.phrases import Phrases
from patchclip_node.services.analyse.outcome import Analysed, AnalysedFile, StudyImage
from patchclip_node.services.analyse.summary import summarise
from tests.support.synthetic import (
    DEFINITIONS,
    WORDINGS,
    analysed,
    of_state,
    result_context,
    with_overlay,
)

TRACKING_IDENTIFIER = "112039"
KEYS = ("opacity", "edema", "pneumothorax", "pleural_effusion", "fracture")
"""Of a finding in each state, in the order of the states; the first two have a place."""
REGION = Region(260, 330, 60, 60, 0.9)
"""In the lower right of an image of 500 x 400, whose right is the patient's left."""


def image_of_all_verdicts() -> AnalysedImage:
    image = analysed({})
    items = tuple(of_state(key, state, (REGION,)) for key, state in zip(KEYS, FindingState, strict=True))
    return with_overlay(replace(image, findings=replace(image.findings, items=items[::-1])), *map(style, WORDINGS))


def style(language: str) -> PictureStyle:
    return PictureStyle(language=language)


IMAGE = image_of_all_verdicts()


def texts(dataset: Dataset) -> Iterator[str]:
    """Every text that a reader of a report may see: values, and the names of numbers with the numbers."""
    for item in dataset.get("ContentSequence", ()):
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue != TRACKING_IDENTIFIER:
            yield str(item.TextValue)
        if item.ValueType == "NUM":
            yield f"{item.ConceptNameCodeSequence[0].CodeMeaning}: {item.MeasuredValueSequence[0].NumericValue} %"
        yield from texts(item)


def built(kind: ResultKind, language: str) -> Dataset:
    ((_, dataset),) = build_results([IMAGE], (), result_context(), (variant(kind, language),))
    return dataset


def variant(kind: ResultKind, language: str) -> ResultVariant:
    return ResultVariant(kind, PlaneGeometry.IDENTITY if kind.has_geometry else None, language=language)


def legend(language: str) -> list[str]:
    phrases = result_context().phrases(language)
    drawn = Legend.of(IMAGE.findings, phrases.definitions, (), phrases.wording, orientation=("L", "F"))
    return [f"{row.said.headline} {row.said.where} {' '.join(words for words, _ in row.small)}" for row in drawn.rows]


def key_objects(language: str) -> list[str]:
    """What a key object selection says of findings: the sentence that begins with that they are above the threshold."""
    before, after = result_context().phrases(language).say("AI: above the threshold: {found}.", found="|").split("|")
    (said,) = (text for text in texts(built(ResultKind.KO, language)) if text.startswith(before))
    return said.removeprefix(before).split(f"{after} ")[0].split("; ")


def gsps(language: str) -> list[str]:
    return words_over(built(ResultKind.GSPS, language))


def words_over(state: Dataset) -> list[str]:
    return [
        line
        for annotation in state.GraphicAnnotationSequence
        for words in annotation.get("TextObjectSequence", ())
        for line in str(words.UnformattedTextValue).splitlines()
    ]


def segments(language: str) -> list[str]:
    return [str(segment.SegmentDescription) for segment in built(ResultKind.SEG, language).SegmentSequence]


def pages() -> list[str]:
    """What the status pages and the demonstration's report show of each finding."""
    file = AnalysedFile(StudyImage(Path("a.dcm"), "1", "2"), IMAGE, None)
    (image,) = summarise(Analysed((file,), (), (), {}), {}, DEFINITIONS, {}).images
    return [f"{one.name}: {one.state} {one.where} {one.number} {one.reason or ''}" for one in image.findings]


def document() -> list[str]:
    named = DocumentedImage("a.dcm", "1", "2", "3", analysed=IMAGE)
    whole = findings_document([named], DEFINITIONS, IMAGE.findings.model)
    return [finding["says"] for finding in json.loads(json.dumps(whole))["images"][0]["findings"]]


OUTPUTS: Mapping[str, Callable[[str], list[str]]] = {
    "picture": legend,
    "structured report": lambda language: list(texts(built(ResultKind.SR, language))),
    "report in words": lambda language: list(texts(built(ResultKind.TEXT_SR, language))),
    "annotations": gsps,
    "segments": segments,
    "key objects": key_objects,
}
IN_ENGLISH: Mapping[str, Callable[[], list[str]]] = {
    "pages": pages,
    "findings.json": document,
    "analyze": lambda: list(_said(IMAGE, Phrases(definitions=DEFINITIONS))),
}
SAYS_ALL = {"picture", "structured report", "report in words", "pages", "findings.json", "analyze"}
"""The others show what was found alone."""


@cache
def said_by(output: str, language: str) -> tuple[str, ...]:
    return tuple(IN_ENGLISH[output]() if output in IN_ENGLISH else OUTPUTS[output](language))


WAYS = [(output, language) for output in OUTPUTS for language in WORDINGS] + [(output, "en") for output in IN_ENGLISH]


def about(output: str, language: str, state: FindingState) -> list[str]:
    """Return what follows the name of the finding of this state, wherever an output names it as its subject."""
    name = result_context().phrases(language).definitions[KEYS[list(FindingState).index(state)]].name
    lines = (line for line in said_by(output, language) if line.startswith(name))
    return [line.removeprefix(name).lstrip(" :,") for line in lines]


@pytest.mark.parametrize("state", FindingState)
@pytest.mark.parametrize(("output", "language"), WAYS)
def test_every_output_says_the_one_verdict_and_no_other(output: str, language: str, state: FindingState) -> None:
    own = result_context().phrases(language).say(state.value)

    told = about(output, language, state)

    if output == "analyze" and not state.is_found:  # it puts these together by verdict
        name = DEFINITIONS[KEYS[list(FindingState).index(state)]].name
        assert [line.startswith(f"{state}: ") for line in said_by(output, language) if name in line] == [True]
    elif output in SAYS_ALL or state.is_found:
        assert told
    assert all(line.startswith(own) for line in told), told


@pytest.mark.parametrize(("output", "language"), WAYS)
def test_no_output_says_a_number_before_its_verdict(output: str, language: str) -> None:
    phrases = result_context().phrases(language)
    verdicts = [phrases.say(state.value) for state in FindingState]

    for line in said_by(output, language):
        for key in KEYS:
            found = re.search(rf"^{re.escape(phrases.definitions[key].name)}\b\D*\d+(\.\d+)? %", line)
            assert found is None or any(verdict in found[0] for verdict in verdicts), line


@pytest.mark.parametrize(("output", "language"), [way for way in WAYS if way[0] != "annotations"])
def test_a_place_is_on_the_patient_s_side(output: str, language: str) -> None:
    phrases = result_context().phrases(language)
    place = phrases.say("{side}, lower half", side=phrases.say("patient's left"))

    said = " ".join(said_by(output, language))

    assert said.count(place) >= 2
    assert phrases.say("right of the image") not in said


@pytest.mark.parametrize("language", WORDINGS)
def test_what_is_present_without_a_place_says_so_in_every_output(language: str) -> None:
    image = replace(IMAGE, findings=replace(IMAGE.findings, items=(of_state("edema", FindingState.POSSIBLE),)))
    phrases = result_context().phrases(language)
    no_place = phrases.say("no place marked")

    for kind in (ResultKind.SR, ResultKind.TEXT_SR, ResultKind.GSPS, ResultKind.KO):
        ((_, dataset),) = build_results([image], (), result_context(), (variant(kind, language),))
        said = words_over(dataset) if kind is ResultKind.GSPS else texts(dataset)
        assert any(no_place in line for line in said), kind
    legend = Legend.of(image.findings, phrases.definitions, (), phrases.wording)
    assert no_place in " ".join(words for words, _ in legend.rows[0].where)
