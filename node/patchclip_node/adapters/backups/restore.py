"""Makes a node's data folder of a backup."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from patchclip_node.adapters.backups.folder import (
    ABOUT,
    AUDIT,
    CONFIGURATION,
    SPOOL,
    VERSIONS,
    About,
    BackupError,
    Progress,
    faults_of,
    read_about,
    read_sums,
    sha256_of,
)
from patchclip_node.adapters.file_spool import stored_file
from patchclip_node.adapters.folders import make_durable_folder, sync_folder
from patchclip_node.adapters.ledger.copying import POSTGRESQL_COPY, SQLITE_COPY, ledger_state, restore_dump
from patchclip_node.domain.errors import ConfigurationError

RESTORING: Final = "restoring"
"""A folder in the data folder while a restore is under way; what was killed is known by it."""

_OURS: Final = frozenset({RESTORING, SPOOL, AUDIT, CONFIGURATION, VERSIONS, SQLITE_COPY})
_FILE_SYSTEMS: Final = frozenset({"lost+found"})
"""What the root of an empty file system may hold."""


def refuse_unfinished(data_dir: Path) -> None:
    """Raise `ConfigurationError` where a restore into this folder is under way or was killed."""
    if (data_dir / RESTORING).exists():
        raise ConfigurationError(
            f"data_dir: a restore into {data_dir} has not come to its end: give the command `restore` again"
        )


def restore(backup: Path, into: Path, done: Progress, ledger_url: str | None = None) -> About:
    """Make `into` the data folder of a node at the moment of `backup`; return what that is of.

    ledger_url: an empty database, for a backup of a ledger in PostgreSQL. The ledger comes last: where this is killed,
    no node starts on what is there, and the same call begins again. Raises `BackupError` where the backup is not whole,
    and `ConfigurationError` where `into` is not empty.
    """
    about = read_about(backup)
    _refuse_taken(into)
    if faults := list(faults_of(backup, done)):
        raise BackupError(f"{backup} is not whole: {'; '.join(faults[:3])}; nothing was restored")
    make_durable_folder(into)
    into.chmod(0o700)
    _clear(into)
    _copy_files(backup, into, done)
    if (backup / POSTGRESQL_COPY).exists():
        restore_dump(backup / POSTGRESQL_COPY, ledger_url or "sqlite:///none")
        url = ledger_url or ""
    else:
        ledger = into / RESTORING / SQLITE_COPY
        shutil.copyfile(backup / SQLITE_COPY, ledger)
        url = f"sqlite:///{ledger}"
    _refuse_loss(into, url, about)
    os.sync()
    if (into / RESTORING / SQLITE_COPY).exists():
        (into / RESTORING / SQLITE_COPY).rename(into / SQLITE_COPY)
        sync_folder(into)
    (into / RESTORING).rmdir()
    sync_folder(into)
    return about


def _refuse_taken(into: Path) -> None:
    there = {path.name for path in into.iterdir()} - _FILE_SYSTEMS if into.is_dir() else set()
    if into.exists() and not into.is_dir():
        raise ConfigurationError(f"--into: {into} is a file: name a folder that is empty or not there")
    if there and not (RESTORING in there and there <= _OURS):
        raise ConfigurationError(
            f"--into: {into} is not empty ({', '.join(sorted(there)[:5])}): name a folder that is empty or not there"
        )


def _clear(into: Path) -> None:
    (into / RESTORING).mkdir(mode=0o700, exist_ok=True)
    sync_folder(into)
    for name in (SPOOL, AUDIT, CONFIGURATION, VERSIONS):
        if (into / name).exists():
            shutil.rmtree(into / name)
    (into / SQLITE_COPY).unlink(missing_ok=True)
    for file in (into / RESTORING).iterdir():
        file.unlink()


def _copy_files(backup: Path, into: Path, done: Progress) -> None:
    sums = {path: digest for path, digest in read_sums(backup).items() if "/" in path}
    for number, (path, digest) in enumerate(sorted(sums.items()), 1):
        target = into / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(backup / path, target)
        target.chmod(0o600 if path.startswith(f"{AUDIT}/") else 0o400)
        if sha256_of(target) != digest:
            raise BackupError(f"{target} was written and cannot be read back: look at that disk")
        done(number, len(sums))


def _refuse_loss(into: Path, ledger_url: str, about: About) -> None:
    """Raise `BackupError` where the ledger is another one, or a file that it names is not there."""
    state = ledger_state(ledger_url)
    if (state.revision, state.instances, state.last_event) != (about.revision, about.instances, about.last_event):
        raise BackupError(f"the restored ledger is not the one that {ABOUT} tells of")
    if about.store:
        return  # its objects stay where they are
    lost = [key for key in state.files if not _is_stored(into / SPOOL, key)]
    unexpected = [key for key in lost if not any(key in words for words in about.not_whole)]
    if unexpected:
        raise BackupError(f"{len(unexpected)} files that the ledger names are not in the backup: {unexpected[0]} ...")


def _is_stored(spool: Path, key: str) -> bool:
    try:
        stored_file(spool, key)
    except FileNotFoundError:
        return False
    return True
