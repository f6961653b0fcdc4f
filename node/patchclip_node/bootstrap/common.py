"""What the processes share: the ledger and the spool that the settings name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from patchclip_node.adapters.backups.restore import refuse_unfinished
from patchclip_node.adapters.clock import SteadyClock, SystemClock, host_start, seconds_since_start
from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger, prepare
from patchclip_node.adapters.private_folder import make_private
from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.bootstrap.threads import repeating, running
from patchclip_node.domain.errors import ConfigurationError, LedgerUnavailableError
from patchclip_node.ports.spool import Spool
from patchclip_node.services.sweep import UNFINISHED_FOR
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
    started_at = ledger.clocks.started_at(host_start(), SystemClock().now, seconds_since_start)
    return SteadyClock(started_at)


TIDY_EVERY_S = 60.0
"""How often a process without a sweep looks at what its host keeps for a while."""


def open_spool(settings: NodeSettings) -> Spool:
    """Open the spool that the settings name. Raises `ConfigurationError` where it can't be made.

    A store need not be in reach: what needs it says so then.
    """
    try:
        if settings.spool.url is not None:
            make_private(settings.data_dir)
            return _s3_spool(settings)
        return FileSpool(settings.spool_dir, settings.limits.min_free_bytes)
    except OSError as error:
        raise ConfigurationError(
            f"data_dir: {error.filename or settings.data_dir} can't be used: {error.strerror}. "
            "Name a folder that this user may write to"
        ) from error


def _s3_spool(settings: NodeSettings) -> Spool:
    s3 = with_s3()
    store = s3.S3Store(s3_place(settings))
    spool: Spool = s3.S3Spool(settings.spool_dir, settings.limits.min_free_bytes, store, settings.spool.cache_bytes)
    return spool


def s3_place(settings: NodeSettings) -> Any:
    """Return where the settings' store is. Raises `ConfigurationError` for a secret that cannot be read."""
    given = settings.spool
    secret = read_secret(given.secret_key_file, "spool.secret_key_file") if given.secret_key_file else None
    return with_s3().S3Place(
        bucket=given.bucket,
        prefix=given.prefix,
        endpoint=given.endpoint,
        region=given.region,
        access_key_id=given.access_key_id,
        secret=secret,
        ca=given.ca,
        timeout_s=given.timeout_s,
        conditional=given.conditional_create,
    )


def with_s3() -> Any:
    """Return the adapter's package, whose client is an extra. Raises `ConfigurationError` where it is not installed."""
    try:
        return import_module("patchclip_node.adapters.s3")
    except ImportError as error:
        raise ConfigurationError(
            f"spool.url: the client for S3 is not installed ({error}): pip install 'patchclip[s3]', or leave the key "
            "out and keep the files below data_dir"
        ) from error


@contextmanager
def tidied(spool: Spool) -> Iterator[None]:
    """Delete again and again what this host keeps for a while, in a process that does not sweep."""
    stop, calendar = threading.Event(), SystemClock()

    def tidy() -> None:
        spool.discard_unfinished(calendar.now() - UNFINISHED_FOR)

    with running([repeating("tidying", tidy, stop, TIDY_EVERY_S)], stop, 1.0):
        yield
