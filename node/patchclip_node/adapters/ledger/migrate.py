"""Bring a ledger's tables to this version."""

from __future__ import annotations

from enum import StrEnum

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


class Standing(StrEnum):
    """How a ledger stands to this version of the program."""

    EMPTY = "empty"
    EARLIER = "earlier"
    CURRENT = "current"


def prepare(url: str) -> None:
    """Make the tables of an empty ledger. Raises like `migrate`, and for an earlier version's ledger.

    A process that starts does not migrate: there may be others of the earlier version, and no way back without a copy.
    """
    match standing(url):
        case Standing.EMPTY:
            migrate(url)
        case Standing.EARLIER:
            raise ConfigurationError(
                f"the ledger {Database(url)} was written by an earlier version of this product: stop the node, then "
                "run `patchclip-node upgrade`, which takes a backup first"
            )
        case Standing.CURRENT:
            pass


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
            before = revision_of(connection)
            command.upgrade(config, "head")
            if revision_of(connection) != before:
                keep_tallies(connection)
    except CommandError as error:
        raise _is_newer(database, error) from error
    finally:
        database.close()


def standing(url: str) -> Standing:
    """Tell how the ledger at `url` stands to this version. Changes nothing; raises like `migrate`."""
    database = Database(url)
    known = ScriptDirectory.from_config(_config())
    try:
        with database.read() as connection:
            revision = revision_of(connection)
        if revision is None:
            return Standing.EMPTY
        known.get_revision(revision)
        return Standing.CURRENT if revision == known.get_current_head() else Standing.EARLIER
    except CommandError as error:
        raise _is_newer(database, error) from error
    finally:
        database.close()


def is_current(url: str) -> bool:
    """Tell whether the ledger at `url` has the tables of this version. Changes nothing; raises like `migrate`."""
    return standing(url) is Standing.CURRENT


def _is_newer(database: Database, error: CommandError) -> ConfigurationError:
    return ConfigurationError(
        f"the ledger {database} was written by a newer version of this product ({error}); "
        "install that version or restore the ledger's backup"
    )


def revision_of(connection: Connection) -> str | None:
    """Return the last migration that a ledger has had; None where it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config
