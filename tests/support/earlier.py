"""A ledger as the version before wrote it: its tables, and in them what a ledger of this version holds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, inspect, select

from patchclip_node.adapters.ledger.database import Database


def revision_before() -> str:
    """Return the last revision but one."""
    scripts = ScriptDirectory.from_config(_config())
    (head,) = scripts.get_heads()
    before = scripts.get_revision(head).down_revision
    assert isinstance(before, str)
    return before


def write_tables(url: str, revision: str) -> None:
    """Make the tables of an empty database as they were at `revision`."""
    database = Database(url)
    config = _config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    database.close()


def make_earlier(file: Path) -> str:
    """Replace a ledger in SQLite, which no process has open, by one of the version before with the same rows.

    Columns that only this version has are lost, as are rows that only it can hold. Returns that version's revision.
    """
    revision = revision_before()
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        earlier = Path(folder) / "earlier.sqlite"
        write_tables(f"sqlite:///{earlier}", revision)
        source, target = create_engine(f"sqlite:///{file}"), create_engine(f"sqlite:///{earlier}")
        known = MetaData()
        known.reflect(target)
        with source.connect() as read, target.begin() as written:
            of_now = inspect(read)
            for table in known.sorted_tables:
                if table.name == "alembic_version" or not of_now.has_table(table.name):
                    continue
                there = {column["name"] for column in of_now.get_columns(table.name)}
                written.execute(table.delete())  # what a migration puts in
                rows = read.execute(select(*(column for column in table.columns if column.name in there)))
                if values := [dict(row) for row in rows.mappings()]:
                    written.execute(table.insert(), values)
        source.dispose()
        target.dispose()
        for journal in file.parent.glob(f"{file.name}-*"):
            journal.unlink()
        shutil.move(earlier, file)
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "patchclip_node.adapters.ledger:migrations")
    return config
