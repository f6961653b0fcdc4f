"""A ledger in PostgreSQL is dumped while it is written to, and restored into an empty database."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.backups.make import Sources, make_backup
from patchclip_node.adapters.backups.restore import restore
from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger, copying
from patchclip_node.adapters.ledger.company import company
from patchclip_node.adapters.ledger.copying import ledger_state
from patchclip_node.domain.errors import ConfigurationError
from tests.peers.postgresql import PostgreSql
from tests.support.fakes import make_instance

pytestmark = pytest.mark.peer("postgresql")


def quietly(_done: int, _total: int) -> None:
    """Show no progress."""


def keep(ledger: SqlLedger, spool: FileSpool, uid: str) -> None:
    stored = spool.write([uid.encode()])
    ledger.arrivals.record(make_instance(uid, sha256=stored.sha256, spool_key=stored.key))


@pytest.fixture
def url(postgresql: PostgreSql, postgresql_database: str) -> str:
    return postgresql.url(postgresql.create_database(postgresql_database))


def test_the_dump_is_of_one_moment_and_is_restored(
    postgresql: PostgreSql, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, ledger = FileSpool(tmp_path / "spool", 0), SqlLedger(url)
    keep(ledger, spool, "1.2.3")
    run = copying._run

    def run_after_another_came(*arguments: object) -> None:
        keep(ledger, spool, "1.2.4")
        run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "_run", run_after_another_came)
    about = make_backup(Sources(url, tmp_path / "spool", tmp_path / "audit"), tmp_path / "b", quietly)
    ledger.close()
    monkeypatch.undo()
    parameters = f"host={postgresql.address}&port={postgresql.port}&user=patchclip"
    empty = f"postgresql:///{postgresql.create_database()}?{parameters}"

    with pytest.raises(ConfigurationError, match="empty database of PostgreSQL"):
        restore(tmp_path / "b", tmp_path / "new", quietly)
    with pytest.raises(ConfigurationError, match="is not empty"):
        restore(tmp_path / "b", tmp_path / "new", quietly, url)
    restore(tmp_path / "b", tmp_path / "new", quietly, empty)

    assert about.instances == ledger_state(empty).instances == 1
    assert ledger_state(url).instances == 2
    assert [path.read_bytes() for path in (tmp_path / "new" / "spool").rglob("*") if path.is_file()] == [b"1.2.3"]
    assert not (tmp_path / "new" / "ledger.sqlite").exists()


def test_who_is_connected_is_named(url: str) -> None:
    assert company(url) == []
    ledger = SqlLedger(url)
    ledger.studies.find()

    (other,) = company(url)

    assert "patchclip from 127.0.0.1" in other
    ledger.close()
