"""The tables of sentences in other languages: whole, true to their English, and no longer than their place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import patchclip_core
import patchclip_node
from patchclip_core.errors import WordingFileError
from patchclip_core.prompts import load_findings
from patchclip_core.wording import ENGLISH, Wording, languages, load_wordings

WORDINGS = load_wordings()
OTHERS = [language for language in WORDINGS if language != "en"]

CORE, NODE = Path(patchclip_core.__file__).parent, Path(patchclip_node.__file__).parent
REMARKING = (
    CORE / "io" / "quality.py",
    CORE / "io" / "display.py",
    CORE / "io" / "dicom.py",
    CORE / "io" / "raster.py",
    NODE / "dicom" / "select.py",
)
"""Where remarks on images are written; a remark is the sentence that is yielded or appended, or called `remark`."""


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


REMARKS = sorted({remark for path in REMARKING for remark in remarks_in(path)})


def test_the_remarks_are_found() -> None:
    assert len(REMARKS) > 18
    assert all(remark.endswith(".") for remark in REMARKS)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("remark", REMARKS)
def test_every_remark_on_an_image_is_translated(language: str, remark: str) -> None:
    filled = re.sub("<>", "7", remark)

    assert WORDINGS[language].repeat(filled) != filled


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_results_and_pictures_is_translated(language: str) -> None:
    said = {*said_in(NODE / "results"), *said_in(CORE / "drawing")}

    assert len(said) > 20
    assert said - set(WORDINGS[language].sentences) == set()


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


def test_what_was_said_in_english_is_said_again_with_its_values() -> None:
    wording = Wording("de", "German", {"{a} of {b} is dark.": "{b}: {a} ist dunkel.", "{a} is dark.": "{a}: dunkel."})

    assert wording.repeat("5 % of it is dark.") == "it: 5 % ist dunkel."
    assert wording.repeat("This is dark.") == "This: dunkel."
    assert wording.repeat("This is bright.") == "This is bright."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: [", "not valid YAML"),
        ("sentences: {}", "two keys"),
        ("name: X\nsentences: [a]", "must hold 'English sentence"),
        ("name: X\nsentences: {'a {b}': 'a {c}'}", "need the same {names}"),
        ("name: X\nsentences: {'a {b': 'a'}", "unmatched brace"),
    ],
)
def test_a_wrong_table_is_named_with_its_trouble(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(WordingFileError, match=re.escape(words)):
        load_wordings(tmp_path)
