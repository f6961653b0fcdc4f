"""What a backup is: a folder of files, a list of their digests, and a page that says what it is of.

    backup.json        when, of which version, how many studies, what is not whole, what was left out
    SHA256SUMS         the digest of every other file, as `sha256sum --check` reads them
    ledger.sqlite      or ledger.dump, of PostgreSQL
    spool/instances/   as in the spool
    audit/             the audit trail, up to the line that the ledger knows as its last
    configuration/     the settings, and the files that they name

A folder with another name than the wanted one, `NAME.unfinished`, is one that is being made, or was when its maker was
killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from patchclip_node.adapters.ledger.copying import SQLITE_COPY, read_copy
from patchclip_node.domain.errors import ConfigurationError, LedgerUnavailableError, NodeError

ABOUT: Final = "backup.json"
SUMS: Final = "SHA256SUMS"
SPOOL: Final = "spool"
AUDIT: Final = "audit"
CONFIGURATION: Final = "configuration"
VERSIONS: Final = "config"
"""What `config history` shows, in the place where a node keeps it."""
FORMAT: Final = 1

Progress = Callable[[int, int], None]
"""Takes how many files are done, and how many there are."""


class BackupError(NodeError):
    """A backup is not whole, or could not be made."""


@dataclass(frozen=True, slots=True)
class About:
    """What a backup is of.

    made_at: UTC, ISO 8601. revision: of the ledger's tables. studies: state -> revisions in it. instances, last_event:
    as in `LedgerState`; they tell whether a ledger has changed since. not_whole: what the node itself had lost or
    damaged when the backup was made. left_out: what has to be kept elsewhere. files: how many there are. store: the
    spool's S3 store, whose objects are not in the backup; '' where the spool is.
    """

    made_at: str
    version: str
    revision: str
    studies: dict[str, int]
    instances: int
    last_event: int
    not_whole: tuple[str, ...]
    left_out: tuple[str, ...]
    files: int
    format: int = FORMAT
    store: str = ""

    def to_json(self) -> str:
        """Return it as it stands in ABOUT."""
        values = asdict(self)
        if not self.store:  # as earlier versions know it
            del values["store"]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def read_about(folder: Path) -> About:
    """Read what a backup is of. Raises `ConfigurationError` where the folder is not a backup of a known format."""
    try:
        values: Any = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ConfigurationError(f"{folder} is a backup of format {values['format']}, which a newer version made")
        return About(**values | {name: tuple(values[name]) for name in ("not_whole", "left_out")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{folder} is not a backup: its {ABOUT} cannot be read ({error}); name a folder that `backup --to` has made"
        ) from error


def sums_text(sums: dict[str, str]) -> str:
    """Return the content of SUMS. sums: path below the folder -> SHA-256."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def read_sums(folder: Path) -> dict[str, str]:
    """Return path below the folder -> SHA-256. Raises `ConfigurationError` where the list cannot be read."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{folder} is not a whole backup: its {SUMS} cannot be read ({error})") from error
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def faults_of(folder: Path, done: Progress) -> Iterator[str]:
    """Read a backup whole; yield what is not as it was written. Raises like `read_about` and `read_sums`."""
    about, sums = read_about(folder), read_sums(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for path in sorted(there - sums.keys() - {SUMS}):
        yield f"{path} is not in {SUMS}"
    for number, (path, digest) in enumerate(sorted(sums.items()), 1):
        if path not in there:
            yield f"{path} is missing"
        elif sha256_of(folder / path) != digest:
            yield f"{path} is damaged: its digest is not that of {SUMS}"
        done(number, len(sums))
    if (folder / SQLITE_COPY).is_file():
        try:
            state = read_copy(folder / SQLITE_COPY)
        except LedgerUnavailableError as error:
            yield str(error)
        else:
            if (state.studies, state.instances) != (about.studies, about.instances):
                yield f"{SQLITE_COPY} is of another moment than {ABOUT} says"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
