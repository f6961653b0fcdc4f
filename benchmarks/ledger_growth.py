"""What sweeps, lanes, receivers and pages cost as the ledger grows, as ratios to a small one.

    python -m benchmarks.ledger_growth [--sizes 1000 100000 1000000] [--repeats 9] [--databases sqlite postgresql]

Each size is a separate ledger, of that many studies that were returned, each with an image, a result, a delivery and
six events; in it lie three that are new, closed and analysed. Each question is asked `--repeats` times of all of them
in turns, so that a busy machine slows all alike. SQLite lies in a temporary folder of the current directory; the server
of PostgreSQL is Debian's, started for this, and syncs as it does by default. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from benchmarks.tables import Row, head, keep, line
from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.tallies import keep_tallies
from patchclip_node.domain.states import StudyState
from tests.peers.postgresql import new_postgresql
from tests.support.fakes import START
from tests.support.ledger_questions import QUESTIONS
from tests.support.studies import bring_to

_AT = START.isoformat(sep=" ")
_NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last})"
_ROWS_AT_ONCE = 100_000
"""A statement may take no longer than the ledger's connections wait for an answer."""
_ROWS = (
    "INSERT INTO studies (id, study_instance_uid, revision, state, priority, patient_id, patient_name, "
    "accession_number, study_description, first_received_at, last_received_at, state_since, instance_count, attempts) "
    "SELECT 100 + i, '9.' || i, 1, 'RETURNED', 2, 'P' || (i {mod} ({size} / 2)), 'Name^' || i, 'A' || i, 'Chest', "
    "{moment}, {moment}, {moment}, 1, 1 FROM numbers",
    "INSERT INTO instances (id, study_id, own_result, sop_class_uid, sop_instance_uid, study_instance_uid, "
    "series_instance_uid, transfer_syntax_uid, modality, patient_id, patient_name, accession_number, "
    "study_description, priority, issued_by_product, spool_key, size_bytes, sha256, received_at, calling_ae_title, "
    "called_ae_title, peer_address) SELECT 100 + i, 100 + i, {false}, '1.2', '9.' || i || '.1', '9.' || i, '9.2', "
    "'1.2', 'DX', 'P' || (i {mod} ({size} / 2)), 'Name^' || i, 'A' || i, 'Chest', 2, {false}, 'i' || i, 1, 'h' || i, "
    "{moment}, 'MODALITY', 'PATCHCLIP', '127.0.0.1' FROM numbers",
    "INSERT INTO results (id, study_id, kind, variant, sop_class_uid, sop_instance_uid, series_instance_uid, "
    "spool_key, size_bytes, sha256, built_at) SELECT 100 + i, 100 + i, 'sr', 'sr', '1.2', '8.' || i, '8.1', 'r' || i, "
    "1, 'h', '{at}' FROM numbers",
    "INSERT INTO deliveries (id, study_id, result_id, destination, state, due_since, attempts, delivered_at, was_sent) "
    "SELECT 100 + i, 100 + i, 100 + i, 'pacs', 'DELIVERED', '{at}', 1, '{at}', {true} FROM numbers",
)
_EVENTS = (
    "INSERT INTO events (study_id, at, event, state_before, state_after, detail) "
    "SELECT 100 + i, '{at}', 'WENT_QUIET', 'RECEIVING', 'RECEIVED', '' FROM numbers"
)
_EVENTS_OF_A_STUDY = 6
_SQLITE = {
    "false": "0",
    "true": "1",
    "mod": "%",
    "moment": f"strftime('%Y-%m-%d %H:%M:%f000', '{_AT[:19]}', (-i) || ' seconds')",
}
_POSTGRESQL = {
    "false": "false",
    "true": "true",
    "mod": "%%",  # psycopg reads a single one as the begin of a parameter
    "moment": f"timestamptz '{_AT}' - i * interval '1 second'",
}


def fill(url: str, size: int) -> SqlLedger:
    """Make a ledger of `size` returned studies and a few others. Triggers are made last: they count once."""
    migrate(url)
    database = Database(url)
    with database.write() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        for statement in [
            *(f"DROP TRIGGER tally_{table}_insert" for table in ("studies", "instances", "deliveries") if is_sqlite),
            *(f"DROP TRIGGER tally ON {table}" for table in ("studies", "instances", "deliveries") if not is_sqlite),
        ]:
            connection.exec_driver_sql(statement)
        values: dict[str, object] = {"size": size, "at": _AT} | (_SQLITE if is_sqlite else _POSTGRESQL)
        for first, statement in product(range(1, size + 1, _ROWS_AT_ONCE), (*_ROWS, *[_EVENTS] * _EVENTS_OF_A_STUDY)):
            head, _, select = statement.partition("SELECT")
            numbered = values | {"first": first, "last": min(first + _ROWS_AT_ONCE - 1, size)}
            connection.exec_driver_sql(f"{head} {_NUMBERS} SELECT {select}".format_map(numbered))
        if not is_sqlite:
            for table in ("studies", "instances", "results", "deliveries", "events"):
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {100 + 8 * size})")
        keep_tallies(connection)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    database.close()
    ledger = SqlLedger(url)
    for number, state in enumerate((StudyState.ANALYSED, StudyState.RECEIVED, StudyState.RECEIVING)):
        bring_to(ledger, state, f"1.{number}", START)
    return ledger


def asked_ms(ledgers: dict[int, SqlLedger], name: str, repeats: int) -> dict[int, float]:
    """Return the median milliseconds of a question by size."""
    taken: dict[int, list[float]] = {size: [] for size in ledgers}
    for _ in range(repeats + 1):  # the first one warms up, and does what there is to do
        for size, ledger in ledgers.items():
            start = time.perf_counter()
            QUESTIONS[name](ledger)
            taken[size].append((time.perf_counter() - start) * 1000)
    return {size: statistics.median(times[1:]) for size, times in taken.items()}


@contextmanager
def databases(kind: str, sizes: Sequence[int]) -> Iterator[dict[int, str]]:
    """Yield the URL of an empty database for each size."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=".") as folder:
            yield {size: f"sqlite:///{Path(folder).resolve()}/{size}.sqlite" for size in sizes}
        return
    with new_postgresql() as server, server.running(fsync="on"):
        yield {size: server.url(server.create_database()) for size in sizes}


def asked_of(kind: str, sizes: Sequence[int], repeats: int) -> Iterator[Row]:
    """Yield a row for each question to ledgers of these sizes in one kind of database."""
    with databases(kind, sizes) as urls, ExitStack() as opened:
        ledgers = {size: fill(url, size) for size, url in urls.items()}
        for ledger in ledgers.values():
            opened.callback(ledger.close)
        for name in QUESTIONS:
            medians = asked_ms(ledgers, name, repeats)
            times = list(medians.values())
            yield {
                "database": kind,
                "asked": name,
                **{f"{size:,} studies, ms": round(ms, 2) for size, ms in medians.items()},
                "largest / smallest": round(times[-1] / times[0], 2),
            }


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[Row] = []
    for kind in given.databases:
        for found in asked_of(kind, given.sizes, given.repeats):
            print(line(found) if rows else f"{head(found)}\n{line(found)}", flush=True)
            rows.append(found)
    keep(rows, given.json)


if __name__ == "__main__":
    main()
