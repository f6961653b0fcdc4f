"""How many rows of each state there are, kept by the database itself: no page and no probe counts a table.

A trigger adds and subtracts with each row that comes, goes or changes its state, in the transaction that changes it.
No writer can forget to, and the numbers are exact at any moment. The ledger has one writer at a time: no writer waits
for a tally.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, delete, func, insert, literal, select

from patchclip_node.adapters.ledger.backfill_tables import backfill
from patchclip_node.adapters.ledger.schema import deliveries, instances, studies, tallies

_COUNTED: Final = {table.name: table for table in (studies, deliveries, instances, backfill)}
"""What is counted. A table without states is counted under the state ''."""

_POSTGRESQL_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    UPDATE tallies SET number = number - 1
    WHERE counted = TG_TABLE_NAME AND state = coalesce(to_jsonb(OLD)->>'state', '');
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO tallies VALUES (TG_TABLE_NAME, coalesce(to_jsonb(NEW)->>'state', ''), 1)
    ON CONFLICT (counted, state) DO UPDATE SET number = tallies.number + 1;
  END IF;
  RETURN NULL;
END $$
"""


def keep_tallies(connection: Connection) -> None:
    """Make the triggers, and count once what is there. SQLite loses them where a migration makes a table again."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_POSTGRESQL_FUNCTION)
    for table in _COUNTED.values():
        for statement in _on_postgresql(table) if connection.dialect.name == "postgresql" else _on_sqlite(table):
            connection.exec_driver_sql(statement)
    connection.execute(delete(tallies))
    for table in _COUNTED.values():
        state = table.c.state if _has_states(table) else literal("")
        counted = select(literal(table.name), state, func.count()).group_by(state)
        if connection.execute(select(table.c.id).limit(1)).first() is not None:
            connection.execute(insert(tallies).from_select(["counted", "state", "number"], counted))


def tally(connection: Connection, table: Table) -> dict[str, int]:
    """Return how many rows there are by their state; a table without states has them all under ''."""
    kept = select(tallies.c.state, tallies.c.number).where(tallies.c.counted == table.name)
    return {row.state: row.number for row in connection.execute(kept)}


def _has_states(table: Table) -> bool:
    return "state" in table.c


def _on_postgresql(table: Table) -> list[str]:
    name = table.name
    changes = "INSERT OR DELETE OR UPDATE OF state" if _has_states(table) else "INSERT OR DELETE"
    return [
        f"DROP TRIGGER IF EXISTS tally ON {name}",
        f"CREATE TRIGGER tally AFTER {changes} ON {name} FOR EACH ROW EXECUTE FUNCTION tally()",
    ]


def _on_sqlite(table: Table) -> list[str]:
    name = table.name
    old, new = ("OLD.state", "NEW.state") if _has_states(table) else ("''", "''")
    less = f"UPDATE tallies SET number = number - 1 WHERE counted = '{name}' AND state = {old};"  # noqa: S608
    more = (
        f"INSERT INTO tallies VALUES ('{name}', {new}, 1) "  # noqa: S608
        "ON CONFLICT (counted, state) DO UPDATE SET number = number + 1;"
    )
    triggers = {"insert": ("INSERT", more), "delete": ("DELETE", less)}
    if _has_states(table):
        triggers["update"] = ("UPDATE OF state", f"{less} {more}")
    return [
        statement
        for when, (change, does) in triggers.items()
        for statement in (
            f"DROP TRIGGER IF EXISTS tally_{name}_{when}",
            f"CREATE TRIGGER tally_{name}_{when} AFTER {change} ON {name} BEGIN {does} END",
        )
    ]
