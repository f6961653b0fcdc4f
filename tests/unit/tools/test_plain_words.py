"""The house's plain words: what is found, where, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.plain_words import PATTERNS, Fault, faults, main

AVOIDED = [
    "The worker starts anew.",
    "It was built in vain.",
    "What is asked for comes first.",
    "It reads from begin to end.",
    "After so many seconds it ends.",
    "This is no CSV file.",
    "The folder has not the prepared size.",
    "Nobody looked.",
    "Each has a process of its own.",
    "It takes another's memory.",
    "The node analyzes images.",
]
PLAIN = """There is no leak, and it is no longer slow. That is no more than before. `analyze` and `of its own` are code.

```python
findings = model.analyze("nobody in vain")
```
"""


@pytest.mark.parametrize("sentence", AVOIDED)
def test_each_pattern_is_found_in_a_page(sentence: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{PLAIN}\n{sentence}\n", encoding="utf-8")

    (fault,) = faults(page)

    assert fault.line == len(PLAIN.splitlines()) + 2
    assert fault.text in sentence
    assert fault.instead


def test_every_pattern_has_a_sentence_here() -> None:
    assert [pattern for pattern in PATTERNS if not any(pattern.found.search(sentence) for sentence in AVOIDED)] == []


def test_code_of_a_page_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PLAIN, encoding="utf-8")

    assert faults(page) == []


def test_of_python_strings_and_comments_are_read_and_names_are_not(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        'nobody = 1\n\n\ndef f() -> str:\n    """Say it.\n\n    Built in vain.\n    """\n    a("do anew")  # nobody\n'
    )

    assert [(fault.line, fault.text) for fault in faults(file)] == [(7, "in vain"), (9, "anew"), (9, "nobody")]


def test_of_python_names_in_strings_and_what_is_filled_in_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('by = "nobody"\ntext = f"the model {analyzer.name} of {analyze} finds {nobody} in vain"\n')

    assert [(fault.line, fault.text) for fault in faults(file)] == [(2, "in vain")]


def test_of_a_template_text_is_read_and_tags_are_not(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text('<style>\n.nobody { }\n</style>\n<p class="anew">{{ nobody }}\n<b>It is made anew</b>Curves</p>\n')

    assert [(fault.line, fault.text) for fault in faults(file)] == [(5, "anew")]


def test_of_settings_comments_are_read_and_values_are_not(tmp_path: Path) -> None:
    file = tmp_path / "conf.yaml"
    file.write_text("by: nobody  # so many\n")

    assert faults(file) == [Fault(file, 1, "so many", faults(file)[0].instead)]


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("anew")

    with pytest.raises(ValueError, match=r"page\.txt: prose is read of"):
        faults(tmp_path / "page.txt")


@pytest.mark.parametrize(
    "sentence",
    [
        "Imports warn of its own dependencies.",
        "A number instead of its own.",
        "Run `x`: patchclip-node analyze FILES",
        "analyzer: of any architecture",
    ],
)
def test_right_english_and_names_are_left_alone(sentence: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(sentence, encoding="utf-8")

    assert faults(page) == []


def test_pages_and_code_are_written_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["plain_words.py"])

    assert main() == 0, capsys.readouterr().out
