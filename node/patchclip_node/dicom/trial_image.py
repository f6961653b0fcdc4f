"""A radiograph that comes with the program, as that of a patient who is none."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.uid import generate_uid

from patchclip_node.domain.trial_patient import PATIENT_NAME

_SAMPLE: Final = "sample-7-dx.dcm"
"""The smallest in which the shipped model finds places, so that segmentations are made, too."""


def write_trial_image(path: Path, patient_id: str) -> str:
    """Write it with new UIDs; returns its Study Instance UID."""
    with (files("patchclip_node.samples") / _SAMPLE).open("rb") as file:
        dataset = dcmread(file)
    dataset.PatientName, dataset.PatientID, dataset.QualityControlSubject = PATIENT_NAME, patient_id, "YES"
    dataset.StudyDescription, dataset.AccessionNumber = "TEST, not a patient", ""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)
    return str(dataset.StudyInstanceUID)


__all__ = ["write_trial_image"]
