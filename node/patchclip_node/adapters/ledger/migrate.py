"""Bring a ledger's tables to this version."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.tallies import keep_tallies
from patchclip_node.domain.errors import ConfigurationError

_MIGRATIONS = "patchclip_node.adapters.ledger:migrations"


def migrate(url: str) -> None:
    """Apply the migrations that the ledger at `url` lacks, in one writing transaction.

    Several processes may start at once: the ledger has one writer, so one migrates and the others find it done. Raises
    `LedgerUnavailableError` where the database does not answer and `ConfigurationError` for a ledger that a newer
    version of this product has written.
    """
    database = Database(url)
    try:
        with database.write() as connection:
            config = _config()
            config.attributes["connection"] = connection
            before = _revision(connection)
            command.upgrade(config, "head")
            if _revision(connection) != before:
                keep_tallies(connection)
    except CommandError as error:
        raise _is_newer(database, error) from error
    finally:
        database.close()


def is_current(url: str) -> bool:
    """Tell whether the ledger at `url` has the tables of this version. Changes nothing; raises like `migrate`."""
    database = Database(url)
    known = ScriptDirectory.from_config(_config())
    try:
        with database.read() as connection:
            revision = _revision(connection)
        if revision is not None:
            known.get_revision(revision)
        return revision == known.get_current_head()
    except CommandError as error:
        raise _is_newer(database, error) from error
    finally:
        database.close()


def _is_newer(database: Database, error: CommandError) -> ConfigurationError:
    return ConfigurationError(
        f"the ledger {database} was written by a newer version of this product ({error}); "
        "install that version or restore the ledger's backup"
    )


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config
