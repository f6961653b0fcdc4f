"""The tables of sentences in other languages: whole, true to their English, and no longer than their place."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import patchclip_core
import patchclip_node
import patchclip_trainer
from patchclip_core.checkpoints.checkpoint import find, read_card
from patchclip_core.errors import WordingFileError
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import FindingState, Region
from patchclip_core.values.wording import ENGLISH, Wording, languages, load_wordings
from patchclip_node.results.phrases import Phrases
from patchclip_node.results.source import read_facts
from patchclip_trainer.evaluation.measure_table import Bootstrap
from patchclip_trainer.export.operating_points import Rule
from patchclip_trainer.export.site_calibration import calibrate_site
from patchclip_trainer.export.site_cases import Known
from patchclip_trainer.export.site_point import SiteRules
from tests.support.synthetic import of_state, source_image

WORDINGS = load_wordings()
OTHERS = [language for language in WORDINGS if language != "en"]

CORE, NODE = Path(patchclip_core.__file__).parent, Path(patchclip_node.__file__).parent
TRAINER = Path(patchclip_trainer.__file__).parent
REMARKING = (
    CORE / "io" / "quality.py",
    CORE / "io" / "display.py",
    CORE / "io" / "dicom.py",
    CORE / "io" / "frames.py",
    CORE / "io" / "raster.py",
    CORE / "io" / "selection.py",
)
"""Where remarks on images are written; a remark is the sentence that is yielded or appended, or called `remark`."""

ENGLISH_WORDS = re.compile(
    r"\b(seen|with|by|from|as high|those|without|half|patient's|probability|threshold|sensitivity|evaluated)\b"
)

REFUSALS = ("UnreadableImageError", "UnsuitableImageError", "UnreadableInstanceError")
"""The errors whose words become the reason why an image was not analysed."""


def english_of(node: ast.expr) -> str | None:
    """The text of a literal, with `<>` for what an f-string fills in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "<>" for part in node.values)
    return None


def remarks_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        value: ast.expr | None = None
        match node:
            case ast.Yield(value) | ast.Assign([ast.Name("remark")], value):
                pass
            case ast.Call(ast.Attribute(ast.Name("remarks"), "append"), [value]):
                pass
        sentence = english_of(value) if value is not None else None
        if sentence is not None:
            yield sentence


def objections_in(path: Path, name: str = "") -> Iterator[str]:
    """What functions return that answer why not, or None; name: that function alone, which always has an answer."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef) or function.returns is None:
            continue
        if function.name == name if name else ast.unparse(function.returns) == "str | None":
            for node in ast.walk(function):
                said = english_of(node.value) if isinstance(node, ast.Return) and node.value else None
                if said is not None:
                    yield said


def refusals_in(path: Path) -> Iterator[str]:
    """What errors say of an image that is not analysed; those of a library come with what was tried."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    tried = [english_of(call.args[0]) for call in calls if getattr(call.func, "id", "") == "_translated"]
    for call in calls:
        if getattr(call.func, "id", "") in REFUSALS and call.args:
            argument = call.args[0]
            is_followed = isinstance(argument, ast.BinOp)
            said = english_of(argument.left if isinstance(argument, ast.BinOp) else argument)
            if said is None:
                continue
            if said == "<> <>":  # what stands where a UID belongs, and why it is not one
                yield from (f"<> {why}" for why in NOT_UIDS)
            elif tried and said.startswith("<>"):
                yield from (said.replace("<>", str(what), 1) for what in tried)
            else:
                yield f"{said}<>" if is_followed else said


def undecided_in(path: Path) -> Iterator[str]:
    """Why a finding is never decided, as the export writes it into the card, and whom its figures come from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(ast.Name("undecided"), [_, reason, *_]) if said := english_of(reason):
                yield said
            case ast.Assign([ast.Tuple([ast.Name("READERS"), ast.Name("TEXT_MINED")])], ast.Tuple(names)):
                yield from (said for name in names if (said := english_of(name)))


def said_in(folder: Path) -> Iterator[str]:
    """Every literal that is given to `say`."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say":
                choices = [node.args[0]]
                if isinstance(node.args[0], ast.IfExp):
                    choices = [node.args[0].body, node.args[0].orelse]
                for choice in choices:
                    if isinstance(choice, ast.Constant) and isinstance(choice.value, str):
                        yield choice.value


NOT_UIDS = sorted(objections_in(NODE / "dicom" / "uids.py", "not_a_uid"))
REASONS = sorted(
    {
        *objections_in(CORE / "io" / "selection.py"),
        *objections_in(NODE / "dicom" / "select.py"),
        *refusals_in(NODE / "dicom" / "headers.py"),
        *(reason for path in (CORE / "io").glob("*.py") for reason in refusals_in(path)),
    }
)
UNDECIDED = sorted(reason for path in (TRAINER / "export").glob("*.py") for reason in undecided_in(path))
REMARKS = sorted({remark for path in REMARKING for remark in remarks_in(path)})


def test_the_remarks_are_found() -> None:
    assert len(REMARKS) > 18
    assert all(remark.endswith(".") for remark in REMARKS)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("remark", REMARKS)
def test_every_remark_on_an_image_is_translated(language: str, remark: str) -> None:
    filled = re.sub("<>", "7", remark)

    assert WORDINGS[language].repeat(filled) != filled


def test_the_reasons_are_found() -> None:
    assert len(REASONS) > 50
    assert "Body Part Examined is <>, not the chest" in REASONS
    assert "<> is too long: <> characters, a UID has at most <>" in REASONS
    assert "the pixel data cannot be decoded (<>: <>)" in REASONS


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_why_an_image_is_not_analysed_is_translated(language: str, reason: str) -> None:
    filled = re.sub("<>", "7", reason)

    assert WORDINGS[language].repeat(filled) != filled


def test_the_reasons_why_a_finding_is_not_evaluated_are_found() -> None:
    assert len(UNDECIDED) > 6
    assert "radiologists" in UNDECIDED
    assert "in cross-validation the model could not tell it: AUC <> by <>, <> images with it" in UNDECIDED


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("reason", UNDECIDED)
def test_every_reason_why_a_finding_is_not_evaluated_is_translated(language: str, reason: str) -> None:
    filled = re.sub("<>", "7", reason)

    assert WORDINGS[language].repeat(filled) != filled


@pytest.mark.parametrize("language", OTHERS)
def test_a_model_says_in_every_language_why_it_does_not_evaluate_a_finding(language: str) -> None:
    """The shipped one's reasons, and those that `export` writes of a finding that it cannot tell."""
    reasons = [finding.not_evaluated for finding in read_card(find("demo")).findings if finding.not_evaluated]
    reasons += [
        "in cross-validation the model could not tell it: AUC 0.57 [0.49, 0.64] by radiologists, 116 images with it",
        "too few images to judge it by: 12 with it and 3 without, by radiologists; 10 of each are needed",
        "at Ulm the model could not tell it: AUC 0.57 [0.49, 0.64] by radiologists, 116 images with it",
    ]

    said = [WORDINGS[language].repeat(reason) for reason in reasons]

    assert not [words for words in said if "cross-validation" in words or "radiologists" in words]


@pytest.mark.parametrize("language", OTHERS)
def test_a_shipped_model_with_thresholds_of_a_site_says_so_in_every_language(language: str, tmp_path: Path) -> None:
    truth = np.arange(200) % 2 == 0
    cases = Known(np.where(truth, 0.8, 0.2), truth, tuple(f"p{index}" for index in range(200)))
    rules, out = SiteRules(Rule.parse("youden")), tmp_path / "out"
    calibrate_site("demo", {"opacity": cases}, "Ulm", 20, Bootstrap(20, 0), out, rules)
    card, own = read_card(out), read_card(find("demo")).statement
    (judges,) = {one.evidence.judged_by for one in card.findings if one.key == "opacity" and one.evidence}
    repeat = WORDINGS[language].repeat

    assert card.statement.startswith(own)
    assert repeat(card.statement).startswith(repeat(own) + " ")
    assert repeat(judges) != judges
    for said in (repeat(card.statement), repeat(judges)):
        assert "Ulm" in said
        assert not re.search(r"thresholds|probabilities|radiologists|of its", said)


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_results_and_pictures_is_translated(language: str) -> None:
    said = {*said_in(NODE / "results"), *said_in(CORE / "drawing"), *said_in(CORE / "values")}

    assert len(said) > 20
    assert said - set(WORDINGS[language].sentences) == set()


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("state", FindingState)
def test_every_verdict_is_said_in_every_language(language: str, state: FindingState) -> None:
    finding = of_state("cardiomegaly", state, (Region(10, 10, 50, 50, 0.9),))
    definitions = {key: one.in_language(language) for key, one in load_findings().items()}
    wording = WORDINGS[language]
    facts = read_facts(source_image())

    english = Phrases(ENGLISH, load_findings()).statement(finding, facts)
    other = Phrases(wording, definitions).statement(finding, facts)

    assert english.headline == f"cardiomegaly: {state}"
    assert other.verdict == wording.sentences[state.value]
    assert other.line.startswith(other.headline)
    assert not ENGLISH_WORDS.search(other.line), other.line


def test_each_word_of_a_verdict_is_its_own_in_every_language() -> None:
    for language in OTHERS:
        assert len({WORDINGS[language].sentences[state.value] for state in FindingState}) == len(FindingState)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("card", sorted((CORE / "weights").glob("*/card.json")), ids=lambda card: card.parent.name)
def test_what_a_shipped_model_says_of_itself_is_translated(language: str, card: Path) -> None:
    statement = json.loads(card.read_text(encoding="utf-8"))["statement"]

    assert WORDINGS[language].repeat(statement) != statement


@pytest.mark.parametrize("language", OTHERS)
def test_every_shipped_finding_has_a_name(language: str) -> None:
    assert [key for key, definition in load_findings().items() if language not in definition.names] == []


@pytest.mark.parametrize("language", OTHERS)
def test_content_descriptions_fit_their_64_characters(language: str) -> None:
    short = [english for english in WORDINGS[language].sentences if english.endswith("AI findings, not for diagnosis")]

    assert len(short) == 4
    assert max(len(WORDINGS[language].sentences[english]) for english in short) <= 64


def test_english_is_always_known_and_says_what_it_is_told() -> None:
    assert languages()[0] == "en"
    assert set(languages()) == set(WORDINGS)
    assert ENGLISH.say("Image {number}: ", number=2) == "Image 2: "
    assert ENGLISH.repeat("The view is {unknown}") == "The view is {unknown}"


def test_what_fills_a_name_in_is_said_again_too() -> None:
    wording = Wording("de", "German", {"found by {who}": "gefunden von {who}", "us": "uns"})

    assert wording.repeat("found by us") == "gefunden von uns"
    assert wording.repeat("found by them") == "gefunden von them"


def test_what_was_said_in_english_is_said_again_with_its_values() -> None:
    wording = Wording("de", "German", {"{a} of {b} is dark.": "{b}: {a} ist dunkel.", "{a} is dark.": "{a}: dunkel."})

    assert wording.repeat("5 % of it is dark.") == "it: 5 % ist dunkel."
    assert wording.repeat("This is dark.") == "This: dunkel."
    assert wording.repeat("This is bright.") == "This is bright."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: [", "not valid YAML"),
        ("sentences: {}", "name: a wording needs the key 'name'"),
        ("name: X\nsentences: [a]", "sentences: must hold 'key: value' lines"),
        ("name: X\nsentences: {'a {b}': 'a {c}'}", "need the same {names}"),
        ("name: X\nsentences: {'a {b': 'a'}", "unmatched brace"),
    ],
)
def test_a_wrong_table_is_named_with_its_trouble(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(WordingFileError, match=re.escape(words)):
        load_wordings(tmp_path)
