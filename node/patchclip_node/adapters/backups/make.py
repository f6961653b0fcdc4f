"""Makes a backup while the node runs.

First the ledger, at one moment; then every file that it names. Files of the spool are written once under names that are
never used again, so that only a purge can take one away in the meantime: then the ledger is copied again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from patchclip_node.adapters.backups.folder import (
    ABOUT,
    AUDIT,
    CONFIGURATION,
    SPOOL,
    SUMS,
    VERSIONS,
    About,
    BackupError,
    Progress,
    faults_of,
    sha256_of,
    sums_text,
)
from patchclip_node.adapters.backups.trail import last_event, trail_until
from patchclip_node.adapters.file_spool import content_of, stored_file
from patchclip_node.adapters.folders import make_durable_folder, sync_folder
from patchclip_node.adapters.ledger.copying import LedgerState, copy_ledger
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.product import PRODUCT_VERSION

_ROUNDS: Final = 5
_CHUNK_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Sources:
    """What a backup is made of.

    configuration: (path below the backup's `configuration/`, file). versions: folder of the earlier configurations, as
    `ConfigurationStore` keeps it; None leaves them out. settings: all settings in force, as JSON, passwords masked.
    left_out: what is named by the settings and not copied, and why. store: the spool's S3 store; its objects are not
    copied, and `spool` is not looked at.
    """

    ledger_url: str
    spool: Path
    audit: Path
    configuration: Sequence[tuple[str, Path]] = ()
    versions: Path | None = None
    settings: str = ""
    left_out: tuple[str, ...] = ()
    store: str = ""


def make_backup(sources: Sources, target: Path, done: Progress, *, link: bool = False) -> About:
    """Make the folder `target`, read it back whole, and return what it is of.

    It has its name only when it is whole. link: files of the spool are hard links where the file systems allow it,
    which takes no room and does not outlive the disk. Raises `ConfigurationError` where `target` is there already, and
    `BackupError` where what was written cannot be read back.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} is there already: name a folder that is not there yet")
    part = target.with_name(f"{target.name}.unfinished")
    if part.exists():  # of a backup that was killed
        shutil.rmtree(part)
    make_durable_folder(part)
    part.chmod(0o700)
    about = _Maker(sources, part, link).make(done)
    os.sync()
    if faults := list(faults_of(part, done)):
        raise BackupError(f"{part} was written and cannot be read back: {'; '.join(faults[:3])}")
    part.replace(target)
    sync_folder(target.parent)
    return about


class _Maker:
    def __init__(self, sources: Sources, folder: Path, link: bool) -> None:
        self._sources = sources
        self._folder = folder
        self._link = link
        self._sums: dict[str, str] = {}
        self._not_whole: list[str] = []

    def make(self, done: Progress) -> About:
        state = self._ledger_and_spool(done)
        self._audit(state)
        self._configuration()
        for copy in self._folder.glob("ledger.*"):
            self._sums[copy.name] = sha256_of(copy)
        about = About(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=PRODUCT_VERSION,
            revision=state.revision,
            studies=state.studies,
            instances=state.instances,
            last_event=state.last_event,
            not_whole=tuple(self._not_whole),
            left_out=self._sources.left_out,
            files=len(self._sums),
            store=self._sources.store,
        )
        self._write(ABOUT, about.to_json().encode())
        (self._folder / SUMS).write_text(sums_text(self._sums), encoding="utf-8")
        return about

    def _ledger_and_spool(self, done: Progress) -> LedgerState:
        """Copy until nothing has been purged between the ledger's moment and the copy of the last file."""
        copied: dict[str, Path] = {}
        state = copy_ledger(self._sources.ledger_url, self._folder)
        if self._sources.store:
            return state
        gone = self._copy_files(state, copied, done)
        rounds = 1
        while gone and rounds < _ROUNDS:
            state = copy_ledger(self._sources.ledger_url, self._folder)
            gone = self._copy_files(state, copied, done)
            rounds += 1
        # What no purge explains the node has lost; the rest is backed up all the same.
        self._not_whole += [f"the spool has lost the file {key}" for key in gone]
        for key in sorted(copied.keys() - state.files.keys()):
            copied[key].unlink()
            del self._sums[copied[key].relative_to(self._folder).as_posix()]
        return state

    def _copy_files(self, state: LedgerState, copied: dict[str, Path], done: Progress) -> list[str]:
        gone = []
        for number, (key, known) in enumerate(sorted(state.files.items()), 1):
            if key not in copied:
                try:
                    copied[key] = self._copy_stored(key, known)
                except FileNotFoundError:
                    gone.append(key)
            done(number, len(state.files))
        return gone

    def _copy_stored(self, key: str, known: str | None) -> Path:
        source = stored_file(self._sources.spool, key)
        path = source.relative_to(self._sources.spool)
        target = self._copy(source, Path(SPOOL) / path, link=self._link)
        if known is not None and _digest_of_content(target) != known:
            self._not_whole.append(f"the spool's file {key} is damaged: its digest is not the one that the ledger has")
        return target

    def _copy(self, source: Path, below: Path, *, link: bool = False) -> Path:
        target = self._folder / below
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if link and _linked(source, target):
            self._sums[below.as_posix()] = sha256_of(target)
            return target
        digest = hashlib.sha256()
        try:
            with source.open("rb") as content, target.open("xb") as copy:
                while chunk := content.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    copy.write(chunk)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            raise
        target.chmod(0o400)
        self._sums[below.as_posix()] = digest.hexdigest()
        return target

    def _audit(self, state: LedgerState) -> None:
        sequence, digest = state.audit_head
        last: tuple[int, str] | None = None
        for name, content in trail_until(self._sources.audit, sequence):
            self._write(f"{AUDIT}/{name}", content)
            last = last_event(content)
        if digest and last != (sequence, digest):
            self._not_whole.append(
                f"the audit trail does not end with event {sequence} as the ledger knows it: `audit verify` says more"
            )
        for aside in sorted(self._sources.audit.glob("changed-*/audit-*.jsonl")):
            self._copy(aside, Path(AUDIT) / aside.relative_to(self._sources.audit))

    def _configuration(self) -> None:
        self._write(f"{CONFIGURATION}/settings.json", self._sources.settings.encode())
        for below, source in self._sources.configuration:
            self._copy(source, Path(CONFIGURATION) / below)
        versions = self._sources.versions
        for source in sorted(versions.glob("*/*")) if versions is not None else ():
            assert versions is not None
            self._copy(source, Path(VERSIONS) / source.relative_to(versions.parent))

    def _write(self, below: str, content: bytes) -> None:
        path = self._folder / below
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        self._sums[below] = hashlib.sha256(content).hexdigest()


def _linked(source: Path, target: Path) -> bool:
    """Make a hard link; False where the file systems differ or know none."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _digest_of_content(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in content_of(path):
        digest.update(chunk)
    return digest.hexdigest()
