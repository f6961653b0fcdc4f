"""Bring a ledger's tables to this version."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.tallies import keep_tallies
from patchclip_node.domain.errors import ConfigurationError

_MIGRATIONS = "patchclip_node.adapters.ledger:migrations"
_REVISION_TABLE = "alembic_version"


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
    from alembic import command  # noqa: PLC0415 - a start that has nothing to migrate, which is each but one, need not wait
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    database = Database(url)
    try:
        with database.write() as connection:
            config.attributes["connection"] = connection
            before = revision_of(connection)
            _refuse_newer(database, before)
            command.upgrade(config, "head")
            if revision_of(connection) != before:
                keep_tallies(connection)
    finally:
        database.close()


def standing(url: str) -> Standing:
    """Tell how the ledger at `url` stands to this version. Changes nothing; raises like `migrate`."""
    database = Database(url)
    try:
        with database.read() as connection:
            revision = revision_of(connection)
        if revision is None:
            return Standing.EMPTY
        _refuse_newer(database, revision)
        return Standing.CURRENT if revision == revisions()[-1] else Standing.EARLIER
    finally:
        database.close()


def is_current(url: str) -> bool:
    """Tell whether the ledger at `url` has the tables of this version. Changes nothing; raises like `migrate`."""
    return standing(url) is Standing.CURRENT


def _refuse_newer(database: Database, revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise ConfigurationError(
            f"the ledger {database} was written by a newer version of this product (its revision {revision} is not "
            "known here); install that version or restore the ledger's backup"
        )


@cache
def revisions() -> tuple[str, ...]:
    """Return the names of all migrations, the first one first: each file's name begins with its own."""
    package, _, folder = _MIGRATIONS.partition(":")
    names = (file.name for file in (files(package) / folder / "versions").iterdir())
    return tuple(sorted(name.partition("_")[0] for name in names if name.endswith(".py") and name[0].isdigit()))


def revision_of(connection: Connection) -> str | None:
    """Return the last migration that a ledger has had; None where it has no tables yet."""
    if not inspect(connection).has_table(_REVISION_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {_REVISION_TABLE}"))  # noqa: S608 - a constant
    return revision
