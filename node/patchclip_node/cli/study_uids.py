"""Study Instance UIDs in a file that a person gives."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from patchclip_node.dicom.uids import is_uid
from patchclip_node.domain.backfill import ArchivedStudy
from patchclip_node.domain.errors import ConfigurationError

_COLUMNS: Final = frozenset({"studyinstanceuid", "study_instance_uid", "study instance uid"})


def read_study_uids(path: Path) -> list[ArchivedStudy]:
    """Return the studies of a CSV file, in its order: of the column StudyInstanceUID, or of the first one.

    Raises `ConfigurationError` where the file has none, or one that is not a UID.
    """
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read as CSV: {error}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = [number for number, cell in enumerate(header) if cell in _COLUMNS]
    column = named[0] if named else 0
    uids: dict[str, None] = {}
    for number, row in enumerate(rows[1:] if named else rows, start=2 if named else 1):
        uid = row[column].strip() if column < len(row) else ""
        if not is_uid(uid):
            raise ConfigurationError(
                f"{path}, row {number}: {uid!r} is not a UID; name its column StudyInstanceUID in the first row"
            )
        uids[uid] = None
    if not uids:
        raise ConfigurationError(f"{path} has no study: it is to have a Study Instance UID in each row")
    return [ArchivedStudy(uid) for uid in uids]
