"""What the processes share: the ledger and the spool that the settings name."""

from __future__ import annotations

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from patchclip_node.adapters.backups.restore import refuse_unfinished
from patchclip_node.adapters.clock import SteadyClock, SystemClock, host_start, seconds_since_start
from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger, prepare
from patchclip_node.adapters.private_folder import make_private
from patchclip_node.domain.errors import ConfigurationError, LedgerUnavailableError
from patchclip_node.settings import NodeSettings

LEDGER_PATIENCE_S = 60.0
"""How long a starting process waits for its database, which may be starting as well."""


def open_ledger(settings: NodeSettings) -> SqlLedger:
    """Open the ledger, with its tables made where it is empty; raises `LedgerUnavailableError` after a patient wait.

    Raises `ConfigurationError` for a ledger of another version, and in a folder that is being restored.
    """
    make_private(settings.data_dir)
    refuse_unfinished(settings.data_dir)
    for attempt in Retrying(
        retry=retry_if_exception_type(LedgerUnavailableError),
        wait=wait_exponential(multiplier=0.2, max=5),
        stop=stop_after_delay(LEDGER_PATIENCE_S),
        reraise=True,
    ):
        with attempt:
            prepare(settings.effective_ledger_url)
    return SqlLedger(settings.effective_ledger_url)


def open_clock(ledger: SqlLedger) -> SteadyClock:
    """Return the clock of all that the ledger holds: the same in every process of this host, and it never jumps."""
    started_at = ledger.clocks.started_at(host_start(), SystemClock().now(), seconds_since_start())
    return SteadyClock(started_at)


def open_spool(settings: NodeSettings) -> FileSpool:
    """Open the spool in the data folder. Raises `ConfigurationError` where it can't be made."""
    try:
        return FileSpool(settings.spool_dir, settings.limits.min_free_bytes)
    except OSError as error:
        raise ConfigurationError(
            f"data_dir: {error.filename or settings.data_dir} can't be used: {error.strerror}. "
            "Name a folder that this user may write to"
        ) from error
