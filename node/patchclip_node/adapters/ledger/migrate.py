"""Bring a ledger's tables to this version."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, inspect, select, text

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.revisions import MIGRATIONS, revisions
from patchclip_node.adapters.ledger.schema import works_with
from patchclip_node.adapters.ledger.tallies import keep_tallies
from patchclip_node.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_REVISION_TABLE = "alembic_version"


class Standing(StrEnum):
    """How a ledger stands to this version of the program.

    LATER: a later version made its tables, and this one works on them. What no process of this version works on is an
    error instead.
    """

    EMPTY = "empty"
    EARLIER = "earlier"
    CURRENT = "current"
    LATER = "later"


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
        case Standing.CURRENT | Standing.LATER:
            pass


def migrate(url: str) -> None:
    """Apply the migrations that the ledger at `url` lacks, in one writing transaction.

    Several processes may start at once: the ledger has one writer, so one migrates and the others find it done. Raises
    `LedgerUnavailableError` where the database does not answer and `ConfigurationError` for a ledger that a newer
    version of this product has written and that this one does not work on; one that it works on is left as it is.
    """
    from alembic import command  # noqa: PLC0415 - a start that has nothing to migrate, which is each but one, need not wait

    config = _config()
    database = Database(url)
    try:
        with database.write() as connection:
            config.attributes["connection"] = connection
            if _standing(database, connection) not in {Standing.EMPTY, Standing.EARLIER}:
                return
            command.upgrade(config, "head")
            keep_tallies(connection)
            connection.execute(delete(works_with))
            connection.execute(insert(works_with).values(revision=oldest_that_works()))
    finally:
        database.close()


def standing(url: str) -> Standing:
    """Tell how the ledger at `url` stands to this version. Changes nothing; raises like `migrate`."""
    database = Database(url)
    try:
        with database.read() as connection:
            return _standing(database, connection)
    finally:
        database.close()


def works_on(url: str) -> bool:
    """Tell whether this version works on the tables of the ledger at `url`. Changes nothing; raises like `migrate`."""
    return standing(url) in {Standing.CURRENT, Standing.LATER}


def oldest_that_works(scripts: ScriptDirectory | None = None) -> str:
    """Return the oldest revision whose programs work on the tables that all migrations together make.

    Each migration declares `works_with`, the oldest revision whose programs go on working on what it makes; one that
    declares nothing works with those that know it. Of several in a row the newest one that is declared holds.
    """
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - like `migrate`

    scripts = scripts or ScriptDirectory.from_config(_config())
    return max(getattr(one.module, "works_with", one.revision) for one in scripts.walk_revisions())


def _standing(database: Database, connection: Connection) -> Standing:
    revision, known = revision_of(connection), revisions()
    if revision is None:
        return Standing.EMPTY
    if revision in known:
        return Standing.CURRENT if revision == known[-1] else Standing.EARLIER
    oldest = _oldest_kept(connection) or revision
    if oldest <= known[-1]:
        return Standing.LATER
    raise ConfigurationError(
        f"the ledger {database} was written by a newer version of this product (its revision {revision} works with "
        f"programs of {oldest} or later, and this one is of {known[-1]}); install that version or restore the ledger's "
        "backup"
    )


def _oldest_kept(connection: Connection) -> str | None:
    """Return what `migrate` has kept of `oldest_that_works`; None where nothing is kept."""
    if not inspect(connection).has_table(works_with.name):
        return None
    return connection.scalar(select(works_with.c.revision))


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - like `migrate`

    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    return config


def revision_of(connection: Connection) -> str | None:
    """Return the last migration that a ledger has had; None where it has no tables yet."""
    if not inspect(connection).has_table(_REVISION_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {_REVISION_TABLE}"))  # noqa: S608 - a constant
    return revision
