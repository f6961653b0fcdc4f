"""The ledger of a node that has already run, for commands that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger


@contextmanager
def existing_ledger(settings: NodeSettings) -> Iterator[SqlLedger]:
    """Open the ledger for the time of the context; raises `ConfigurationError` where no node has made one yet.

    A mistaken data_dir must not make an empty ledger that says that no study has come.
    """
    from patchclip_node.adapters.ledger import SqlLedger, prepare

    file = settings.data_dir / "ledger.sqlite"
    if settings.ledger_url is None and not file.exists():
        raise ConfigurationError(
            f"there is no ledger {file.absolute()}: has the node run with this configuration? Name it by --config"
        )
    prepare(settings.effective_ledger_url)
    ledger = SqlLedger(settings.effective_ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()
