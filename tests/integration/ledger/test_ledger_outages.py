from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.database import GONE_AFTER_S, Database
from patchclip_node.domain.errors import LedgerCommitUnknownError, LedgerUnavailableError
from tests.peers.postgresql import PostgreSql, new_postgresql, user
from tests.support.certificates import Authority
from tests.support.fakes import make_instance


def socket_of(connection: Any) -> socket.socket:
    """Return the socket of a connection to PostgreSQL once more."""
    return socket.socket(fileno=os.dup(connection.fileno()))


@pytest.fixture
def stopped() -> Iterator[PostgreSql]:
    with new_postgresql() as server:
        yield server


@pytest.mark.peer("postgresql")
def test_a_server_that_restarts_is_unavailable_meanwhile_and_then_used_again(stopped: PostgreSql) -> None:
    with stopped.running():
        url = stopped.url(stopped.create_database())
        migrate(url)
        ledger = SqlLedger(url)
        ledger.arrivals.record(make_instance("1.1"))

    for ask in (ledger.workload.counts, lambda: ledger.arrivals.record(make_instance("1.2")), lambda: migrate(url)):
        with pytest.raises(LedgerUnavailableError, match="does not answer"):
            ask()
    with stopped.running():
        ledger.arrivals.record(make_instance("1.3"))
        assert [study.study_instance_uid for study in ledger.studies.find()] == ["1.3", "1.1"]
        ledger.close()


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize("by_whom", ["the server", "the network"])
def test_a_connection_that_was_lost_while_idle_is_replaced_unnoticed(
    postgresql: PostgreSql, by_whom: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = postgresql.create_database()
    migrate(postgresql.url(database))
    ledger = SqlLedger(postgresql.url(database))
    ledger.arrivals.record(make_instance("1.1"))
    if by_whom == "the server":
        postgresql.disconnect_all(database)
    else:
        pool = ledger._database.engine.pool
        with contextlib.closing(pool.connect()) as idle:
            connection: Any = idle.driver_connection
            with socket_of(connection) as lost:
                lost.shutdown(socket.SHUT_RDWR)

    ledger.arrivals.record(make_instance("1.2"))

    assert len(ledger.studies.find()) == 2
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    ledger.close()


@pytest.mark.peer("postgresql")
def test_both_sides_look_whether_the_other_one_is_still_there(postgresql: PostgreSql) -> None:
    ledger = SqlLedger(postgresql.url(postgresql.create_database()))
    with contextlib.closing(ledger._database.engine.raw_connection()) as pooled:
        connection: Any = pooled.driver_connection
        cursor = connection.cursor()
        with socket_of(connection) as watched:
            idle_s, every_s, times, unanswered_ms = (
                watched.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            )
        of_the_server = ["tcp_keepalives_idle", "tcp_user_timeout", "client_connection_check_interval"]
        settings = [cursor.execute(f"SHOW {name}").fetchone()[0] for name in of_the_server]

    assert idle_s + every_s * times <= GONE_AFTER_S
    assert unanswered_ms == GONE_AFTER_S * 1000
    assert settings == ["5", "10000", "5s"]
    ledger.close()


@pytest.mark.peer("postgresql")
def test_a_connection_that_is_lost_in_a_transaction_is_not_used_again(postgresql: PostgreSql) -> None:
    database = postgresql.create_database()
    migrate(postgresql.url(database))
    ledger = SqlLedger(postgresql.url(database))

    def ask_while_the_server_hangs_up() -> None:
        with ledger._database.read() as connection:
            postgresql.disconnect_all(database)
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerUnavailableError):
        ask_while_the_server_hangs_up()

    assert ledger.studies.find() == []
    ledger.close()


@pytest.mark.peer("postgresql")
def test_a_server_that_hangs_is_given_up(postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchclip_node.adapters.ledger.server_connection.ANSWER_S", 0.3)
    database = postgresql.create_database()
    migrate(postgresql.url(database))
    ledger = SqlLedger(postgresql.url(database))

    def ask_while_the_server_hangs() -> None:
        with ledger._database.read() as connection:
            hanging = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            os.kill(hanging, signal.SIGSTOP)
            try:
                connection.exec_driver_sql("SELECT 1")
            finally:
                os.kill(hanging, signal.SIGCONT)

    with pytest.raises(LedgerUnavailableError, match="timeout"):
        ask_while_the_server_hangs()

    assert ledger.studies.find() == []
    ledger.close()


@pytest.mark.peer("postgresql")
def test_a_url_of_an_earlier_version_is_read(postgresql: PostgreSql, postgresql_database: str) -> None:
    ledger = SqlLedger(postgresql.url(postgresql_database).replace("postgresql:", "postgresql+pg8000:"))

    assert ledger.studies.find() == []
    ledger.close()


@pytest.mark.peer("postgresql")
@pytest.mark.peer("openssl")
def test_a_url_may_say_who_vouches_for_the_server(stopped: PostgreSql, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    shown = authority.issue("localhost")
    for file, name in ((shown.certificate, "server.crt"), (shown.key, "server.key")):
        shutil.copyfile(file, stopped.data / name)
        (stopped.data / name).chmod(0o600)
        if (owner := user()) is not None:
            shutil.chown(stopped.data / name, owner)
    with (stopped.data / "postgresql.conf").open("a") as settings:
        settings.write("ssl = on\n")

    with stopped.running():
        ledger, misled = (
            SqlLedger(f"{stopped.url('postgres')}?sslmode=verify-full&sslrootcert={one.ca}")
            for one in (authority, other)
        )
        with ledger._database.read() as connection:
            question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.exec_driver_sql(question).scalar_one() is True
        with pytest.raises(LedgerUnavailableError, match="certificate verify failed"):
            misled.workload.counts()
        ledger.close()


@pytest.mark.peer("postgresql")
def test_a_database_that_does_not_exist_is_unavailable_by_name(postgresql: PostgreSql) -> None:
    with pytest.raises(LedgerUnavailableError, match="absent"):
        SqlLedger(postgresql.url("absent")).workload.counts()


@pytest.mark.peer("postgresql")
def test_a_connection_that_is_lost_in_a_commit_leaves_the_outcome_unknown(postgresql: PostgreSql) -> None:
    database = postgresql.create_database()
    migrate(postgresql.url(database))
    ledger = SqlLedger(postgresql.url(database))

    @event.listens_for(ledger._database.engine, "commit")
    def _lose(_connection: Any) -> None:
        postgresql.disconnect_all(database)

    with pytest.raises(LedgerCommitUnknownError):
        ledger.arrivals.record(make_instance("1.1"))
    ledger.close()


@pytest.mark.peer("postgresql")
def test_the_password_of_the_url_is_in_no_error() -> None:
    with pytest.raises(LedgerUnavailableError) as caught:
        SqlLedger("postgresql://user:secret@127.0.0.1:1/ledger").workload.counts()

    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_a_ledger_without_tables_is_unavailable(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")

    with pytest.raises(LedgerUnavailableError, match="no such table"):
        ledger.workload.counts()
    ledger.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)

    with pytest.raises(LedgerUnavailableError, match="not a database"):
        migrate(f"sqlite:///{path}")


def test_a_writer_that_never_ends_makes_the_ledger_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchclip_node.adapters.ledger.database._WAIT_S", 0.2)
    path = tmp_path / "ledger.sqlite"
    migrate(f"sqlite:///{path}")
    ledger = SqlLedger(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailableError, match="locked"):
        ledger.arrivals.record(make_instance())
    assert ledger.studies.find() == []
    holder.execute("ROLLBACK")
    ledger.arrivals.record(make_instance())
    holder.close()
    ledger.close()


@pytest.mark.peer("postgresql")
def test_a_writer_that_waits_too_long_finds_postgresql_unavailable(
    postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.url(postgresql.create_database())
    migrate(url)
    ledger, slow = SqlLedger(url), Database(url)

    with slow.write():
        monkeypatch.setattr("patchclip_node.adapters.ledger.database._WAIT_S", 0.2)
        with pytest.raises(LedgerUnavailableError, match="lock timeout"):
            ledger.arrivals.record(make_instance())

    ledger.arrivals.record(make_instance())
    ledger.close()
    slow.close()


@pytest.mark.peer("postgresql")
def test_a_host_that_vanished_while_it_wrote_does_not_hold_postgresql_for_ever(
    postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.url(postgresql.create_database())
    migrate(url)
    ledger, vanished = SqlLedger(url), Database(url)
    monkeypatch.setattr("patchclip_node.adapters.ledger.database._WAIT_S", 1)

    with contextlib.suppress(LedgerUnavailableError), vanished.write():
        monkeypatch.setattr("patchclip_node.adapters.ledger.database._WAIT_S", 30)
        ledger.arrivals.record(make_instance())

    assert len(ledger.studies.find()) == 1
    ledger.close()
    vanished.close()


def test_sqlite_is_set_to_survive_a_power_cut(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")

    with database.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    database.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
