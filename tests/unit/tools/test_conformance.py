"""The statement of conformance, and the list of attributes in it, say what the program does."""

from __future__ import annotations

from tools import conformance

AGAIN = "run python tools/conformance.py, and commit docs/conformance.md and attributes.csv"


def test_the_statement_is_that_of_the_program_with_its_defaults() -> None:
    assert conformance.STATEMENT.read_text(encoding="utf-8") == conformance.statement(), AGAIN


def test_the_attributes_are_those_that_results_have() -> None:
    assert conformance.ATTRIBUTES.read_text(encoding="utf-8") == conformance.attributes(), AGAIN
