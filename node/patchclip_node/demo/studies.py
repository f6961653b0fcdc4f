"""The studies that the demo sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import ConfigurationError, UnreadableInstanceError


@dataclass(frozen=True, slots=True)
class SentStudy:
    """One study; `title`: what a person calls it."""

    study_instance_uid: str
    title: str
    files: tuple[Path, ...]


def collect_studies(folder: Path) -> tuple[list[SentStudy], list[str]]:
    """Return the studies in a folder (or of one file), in the order of their file names, and why files were left out.

    Raises `ConfigurationError` when there is nothing to send.
    """
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    grouped: dict[str, list[Path]] = {}
    titles: dict[str, str] = {}
    left_out = []
    for path in paths:
        if folder.is_dir() and path.suffix.lower() not in {".dcm", ".dicom", ""}:
            continue  # a README or a licence beside the images
        try:
            header = read_header(path)
        except UnreadableInstanceError as error:
            left_out.append(f"{path}: {error}")
            continue
        grouped.setdefault(header.study_instance_uid, []).append(path)
        titles.setdefault(header.study_instance_uid, header.patient_name or header.patient_id or path.stem)
    if not grouped:
        raise ConfigurationError(f"{folder} holds no DICOM file that can be sent")
    return [SentStudy(uid, titles[uid], tuple(files)) for uid, files in grouped.items()], left_out


def all_files(studies: Sequence[SentStudy]) -> list[Path]:
    """Return the files of all studies, in order."""
    return [path for study in studies for path in study.files]
