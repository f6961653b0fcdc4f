"""Finds words and patterns that the house does not write, and says what to write instead.

    python tools/plain_words.py                  the tracked pages, templates, settings and Python files
    python tools/plain_words.py FILE...          these files

Reads Markdown without code, templates without tags, comments of YAML, Makefile and shell, and strings and comments of
Python. What stands between backticks is code or a quotation and is left alone, as is a string of Python without a
space: it is a name or a value. `conf/wording/` is left out: its keys repeat sentences of the program. Ends with 1
where it found something.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "*.py", "*.html", "conf/*.yaml", "Makefile", ".ci/run", "*.sh")
LEFT_OUT = (
    "conf/wording/*",
    "node/patchclip_node/samples/ATTRIBUTION.md",  # licences, as their owners word them
    "tools/plain_words.py",  # these two name what is not written
    "tests/unit/tools/test_plain_words.py",
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is not written, and what is instead."""

    found: re.Pattern[str]
    instead: str


def _pattern(expression: str, instead: str) -> Pattern:
    return Pattern(re.compile(expression, re.IGNORECASE), instead)


PATTERNS = (
    _pattern(r"\banew\b", "again"),
    _pattern(r"\bin vain\b", "say that it is unused, or that there is none"),
    _pattern(r"\bis asked for\b|\basked for in\b", "offers, or who wants it"),
    _pattern(r"\bfrom begin to end\b", "from beginning to end"),
    _pattern(r"\bso many\b", "the number itself: that many, this long, N x N"),
    _pattern(
        r"(?<!there )\b(is|are|was|were) no (?!longer\b|more\b|less\b|better\b|worse\b|other\b|different\b)",
        "is not a, or there is no",
    ),
    _pattern(r"\b(has|have|had) not (the|a|an|any)\b", "does not have"),
    _pattern(r"\bnobody\b|\bsomebody\b", "who it is"),
    # "of its own dependencies" is right: what follows belongs to it. So is "another instead of its own".
    _pattern(
        r"(?<!instead )\bof (its|their|our|his|one's) own\b"
        r"(?! (?!(?:and|are|at|for|in|is|lie|on|that|to|when|where|which|with)\b)\w)",
        "its own, separate, or apart",
    ),
    _pattern(r"\banother's\b", "who or what it is"),
    _pattern(
        r"(?<!patchclip-node )\banalyz(e|es|ed|ing|er|ers)\b(?![:(])", "analys: prose is British, names in code stay"
    ),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A pattern that was found. line: from 1."""

    file: Path
    line: int
    text: str
    instead: str


def faults(file: Path) -> list[Fault]:
    """Return what a file should say in other words. Raises `ValueError` for a kind of file that it cannot read."""
    return [
        Fault(file, line, match.group(), pattern.instead)
        for line, prose in _prose(file)
        for pattern in PATTERNS
        for match in pattern.found.finditer(prose)
    ]


def _prose(file: Path) -> Iterator[tuple[int, str]]:
    if file.suffix == ".py":
        yield from _of_python(file)
        return
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        text = _blanked(r"^```.*?^```$|^ {4}[^\n]*$", text)
    elif file.suffix == ".html":
        text = _blanked(r"<(style|script)\b.*?</\1>|{[{%#].*?[}%#]}|<[^>]*>", text)
    elif file.suffix in {".yaml", ".sh"} or file.name in {"Makefile", "run"}:
        text = "\n".join(line.partition("#")[2] for line in text.splitlines())
    else:
        raise ValueError(f"{file}: prose is read of .md, .html, .py, .yaml, .sh and Makefile")
    yield from enumerate(_without_code(text).splitlines(), start=1)


def _of_python(file: Path) -> Iterator[tuple[int, str]]:
    # From Python 3.12 on, the text of an f-string is a token of its own kind.
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    with tokenize.open(file) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type in kinds and (token.type == tokenize.COMMENT or re.search(r"\s", token.string)):
                yield from enumerate(_without_code(_without_fields(token.string)).splitlines(), start=token.start[0])


def _without_fields(token: str) -> str:
    """Return an f-string without what is filled in; another token as it is."""
    return _blanked(r"{[^{}\n]*}", token) if re.match(r"r?fr?[\"']", token, re.IGNORECASE) else token


def _without_code(text: str) -> str:
    return _blanked(r"`[^`\n]*`", text)


def _blanked(expression: str, text: str) -> str:
    """Return the text with a space for each match, its line ends kept, so that lines keep their numbers."""
    flags = re.MULTILINE | re.DOTALL
    return re.sub(expression, lambda match: " " + "\n" * match.group().count("\n"), text, flags=flags)


def tracked(patterns: Iterable[str]) -> list[Path]:
    """Return the files under version control that match, without those that are left out."""
    excluded = [f":!{name}" for name in LEFT_OUT]
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns, *excluded],  # noqa: S607 - git is where the developer's path has it
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def main() -> int:
    """Check the files that the command line names, or the tracked ones; 1 where something was found."""
    files = [Path(name).resolve() for name in sys.argv[1:]] or tracked(PAGES)
    found = [fault for file in files for fault in faults(file)]
    for fault in found:
        name = fault.file.relative_to(ROOT) if fault.file.is_relative_to(ROOT) else fault.file
        sys.stdout.write(f"{name}:{fault.line}: {fault.text!r}: write {fault.instead}\n")
    sys.stdout.write(f"{len(found)} found in {len(files)} files\n" if found else f"{len(files)} files are plain\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
