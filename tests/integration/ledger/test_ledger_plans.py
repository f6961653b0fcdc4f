"""No question that a sweep, a lane, a receiver or a page asks may cost more as the ledger grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from sqlalchemy import event, text

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import metadata
from patchclip_node.domain.states import FINAL_STATES, StudyState
from tests.support.fakes import START
from tests.support.ledger_questions import QUESTIONS, Question
from tests.support.studies import bring_to

GROWING: Final = ("studies", "instances", "results", "deliveries", "events", "backfill")
"""The tables that hold as much as was ever received and is kept."""

SMALL: Final = tuple(
    index.name
    for name in GROWING
    for index in metadata.tables[name].indexes
    if index.dialect_options["sqlite"]["where"] is not None
)
"""Indexes over few of a table's rows, which may be read whole."""


@pytest.fixture
def filled(ledger: SqlLedger) -> SqlLedger:
    """A ledger with ended studies, and with work that is due: it is left for the questions."""
    for number, state in enumerate([*FINAL_STATES, StudyState.ANALYSED, StudyState.RECEIVED, StudyState.RECEIVING]):
        bring_to(ledger, state, f"1.{number}", START)
    return ledger


@pytest.fixture
def asked(filled: SqlLedger, ledger_url: str) -> Iterator[Callable[[Question], list[str]]]:
    """Ask something; returns how the database looks for it: its plans, a line a step, behind the statement's words."""
    database = Database(ledger_url)

    def plans(question: Question) -> list[str]:
        statements: list[tuple[str, Any]] = []
        engine = filled._database.engine

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
            statements.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", note)
        try:
            question(filled)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        return [line for statement, parameters in statements for line in _explained(database, statement, parameters)]

    yield plans
    database.close()


def test_no_question_reads_a_whole_table(asked: Callable[[Question], list[str]]) -> None:
    plans = {name: asked(question) for name, question in QUESTIONS.items()}

    assert [name for name, lines in plans.items() if not lines] == []  # each has asked something
    assert {name: bad for name, lines in plans.items() if (bad := [line for line in lines if _reads_all(line)])} == {}


def test_a_question_that_reads_a_whole_table_is_seen(
    asked: Callable[[Question], list[str]],
) -> None:
    def count(ledger: SqlLedger) -> object:
        with ledger._database.read() as connection:
            return connection.execute(text("SELECT count(*) FROM studies WHERE error IS NOT NULL")).scalar_one()

    assert any(_reads_all(line) for line in asked(count))


def _explained(database: Database, statement: str, parameters: Any) -> list[str]:
    if not re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", statement) or "pg_advisory" in statement:
        return []
    with database.read() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # few rows are read whole otherwise
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        else:
            rows = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    limited = " (LIMIT)" if "LIMIT" in statement and "ORDER BY" in statement else ""
    return [f"{line.strip()}{limited} <- {statement}" for line in rows]


def _reads_all(line: str) -> bool:
    """Tell whether a plan's line reads all rows of a growing table.

    In the order of the question, by an index or by the row's number, and up to a LIMIT, it does not.
    """
    step = line.split(" <- ", maxsplit=1)[0]
    tables = "|".join((*GROWING, "other", "earlier"))
    if re.search(rf"\bSeq Scan on ({tables})\b", step):
        return True
    found = re.match(rf"SCAN ({tables})\b( USING (COVERING )?INDEX (\w+))?", step)
    if found is None:
        return False
    in_order = "(LIMIT)" in step and (
        found.group(4) is not None or re.search(rf"ORDER BY {found.group(1)}\.id\b", line)
    )
    return not (found.group(4) in SMALL or in_order)
