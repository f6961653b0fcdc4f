"""Make the sample studies of `patchclip_node/samples` from open images: `make_samples.py IMAGES_FOLDER [OUT_FOLDER]`.

The images are named in samples/ATTRIBUTION.md. Patients, orders, dates and pixel spacing are made up. The studies
differ in what a node must cope with: class, transfer syntax, bit depth, photometric interpretation and character set.
Needs DCMTK's dcmcjpeg. The samples are in the repository; run this again only to change them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

NIH = "NIH Clinical Center, ChestX-ray14 (Wang et al. 2017)"
MHH = "Hannover Medical School, COVID-19 Image Repository, CC BY 3.0"
SAMPLES = Path(__file__).parents[1] / "node" / "patchclip_node" / "samples"
SPACING_MM = 0.35
"""Nominal: the sources state none; a chest of 36 cm on 1024 pixels."""

VIEWS = {"PA": ("272479007", "postero-anterior"), "AP": ("399348003", "antero-posterior")}


@dataclass(frozen=True)
class Sample:
    """One study of one image."""

    number: int
    image: str
    credit: str
    modality: str
    view: str
    sex: str
    age: int
    name: str
    syntax: UID
    character_set: str | list[str] | None = None
    bits: int = 8
    inverted: bool = False


STUDIES = (
    Sample(1, "nih_00001323_001", NIH, "CR", "PA", "M", 47, "Sample^One", JPEGLSLossless),
    Sample(
        2,
        "nih_00001362_008",
        NIH,
        "DX",
        "AP",
        "F",
        50,
        "Sample^Two=試験^二=しけん^に",
        JPEG2000Lossless,
        ["", "ISO 2022 IR 87"],
        bits=12,
    ),
    Sample(3, "nih_00003593_005", NIH, "CR", "PA", "M", 64, "Sample^Three", JPEGLosslessSV1, inverted=True),
    Sample(4, "nih_00009858_001", NIH, "DX", "PA", "F", 48, "Δείγμα^Τέσσερα", JPEGLSLossless, "ISO_IR 126"),
    Sample(5, "mhh_b343e657", MHH, "CR", "AP", "M", 60, "Sample^Five", RLELossless),
    Sample(6, "nih_00009925_038", NIH, "CR", "PA", "M", 56, "Sample^Six", JPEGLSLossless),
    Sample(7, "nih_00019157_008", NIH, "DX", "AP", "M", 57, "Образец^Семь", JPEGLSLossless, "ISO_IR 144", bits=10),
    Sample(8, "nih_00012048_007", NIH, "CR", "AP", "F", 61, "Próba^Osiem", JPEG2000Lossless, "ISO_IR 101"),
)


def uid(*names: object) -> UID:
    """Return a UID that depends on the names alone."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, '/'.join(map(str, ('patchclip-samples', *names)))).int}")


def make(sample: Sample, folder: Path) -> bytes:
    """Return a sample as a DICOM file."""
    found = [path for suffix in ("png", "jpg") if (path := folder / f"{sample.image}.{suffix}").exists()]
    if not found:
        raise SystemExit(f"{folder} has neither {sample.image}.png nor {sample.image}.jpg, see samples/ATTRIBUTION.md")
    grey = np.asarray(Image.open(found[0]).convert("L"))
    stored = grey if sample.bits == 8 else np.round(grey * ((2**sample.bits - 1) / 255)).astype(np.uint16)
    if sample.inverted:
        stored = (2**sample.bits - 1 - stored).astype(stored.dtype)
    dataset = Dataset()
    for step in (
        _patient_and_study,
        _series_and_equipment,
        _image,
        _digital_x_ray if sample.modality == "DX" else _computed,
    ):
        step(dataset, sample)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if sample.bits == 8 else "OW"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    return _compressed(dataset, sample.syntax)


def _patient_and_study(dataset: Dataset, sample: Sample) -> None:
    if sample.character_set is not None:
        dataset.SpecificCharacterSet = sample.character_set
    dataset.PatientName = sample.name
    dataset.PatientID = f"SAMPLE-{sample.number}"
    dataset.PatientBirthDate = f"{2025 - sample.age}0101"
    dataset.PatientSex = sample.sex
    dataset.PatientAge = f"{sample.age:03d}Y"
    dataset.PatientComments = "A made-up patient, for demonstration"
    dataset.StudyInstanceUID = uid("study", sample.number)
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20260105"
    dataset.StudyTime = dataset.SeriesTime = f"{8 + sample.number:02d}1500"
    dataset.AcquisitionTime = dataset.ContentTime = f"{8 + sample.number:02d}1530"
    dataset.StudyID = str(sample.number)
    dataset.AccessionNumber = f"SAMPLE-A{sample.number}"
    dataset.ReferringPhysicianName = "Referrer^Sample"
    dataset.StudyDescription = f"Chest {sample.view}, sample {sample.number}"


def _series_and_equipment(dataset: Dataset, sample: Sample) -> None:
    dataset.Modality = sample.modality
    dataset.SeriesInstanceUID = uid("series", sample.number)
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = f"Chest {sample.view}"
    dataset.BodyPartExamined = "CHEST"
    dataset.Manufacturer = "Made of an open image"
    dataset.ManufacturerModelName = "Sample"
    dataset.StationName = f"SAMPLE{sample.modality}"


def _image(dataset: Dataset, sample: Sample) -> None:
    dataset.SOPInstanceUID = uid("instance", sample.number)
    dataset.InstanceNumber = 1
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.DerivationDescription = f"Made of {sample.image}.png: {sample.credit}"
    dataset.ImageComments = "Sample for demonstration, not for diagnosis. Pixel spacing is nominal."
    dataset.PatientOrientation = ["L", "F"]
    dataset.BurnedInAnnotation = "YES"  # side markers are part of the radiograph
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if sample.inverted else "MONOCHROME2"
    dataset.BitsAllocated = 8 if sample.bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = sample.bits, sample.bits - 1
    dataset.PixelRepresentation = 0
    dataset.ImagerPixelSpacing = [SPACING_MM, SPACING_MM]
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (sample.bits - 1), 2**sample.bits
    dataset.ViewPosition = sample.view


def _computed(dataset: Dataset, _sample: Sample) -> None:
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.KVP = 110


def _digital_x_ray(dataset: Dataset, sample: Sample) -> None:
    """Add what the DX IOD asks for (PS3.3 A.26)."""
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_code("51185008", "Chest")]
    view = _code(*VIEWS[sample.view])
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]
    dataset.PatientOrientation = ["L", "F"]
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.DetectorType = "DIRECT"
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _compressed(dataset: Dataset, syntax: UID) -> bytes:
    if syntax == JPEGLosslessSV1:
        with tempfile.TemporaryDirectory() as folder:  # pydicom writes no JPEG Lossless
            plain, packed = Path(folder, "plain.dcm"), Path(folder, "packed.dcm")
            plain.write_bytes(_encoded(dataset))
            subprocess.run(["dcmcjpeg", "+e1", str(plain), str(packed)], check=True)  # noqa: S607 - found by PATH
            dataset["PixelData"] = dcmread(packed)["PixelData"]
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax == JPEG2000Lossless:  # nor JPEG 2000 without one more package
        stream = encode_array(dataset.pixel_array, bits_stored=dataset.BitsStored, photometric_interpretation=2)
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    return _encoded(dataset)


def _encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def main() -> None:
    """Write the samples, named by their number, so that they sort as they are told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="folder of the images that samples/ATTRIBUTION.md names, PNG or JPEG")
    parser.add_argument("out", type=Path, nargs="?", default=SAMPLES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for sample in STUDIES:
        content = make(sample, arguments.images)
        path = arguments.out / f"sample-{sample.number}-{sample.modality.lower()}.dcm"
        path.write_bytes(content)
        sys.stdout.write(f"{path.name}: {len(content)} bytes, {sample.syntax.name}\n")


if __name__ == "__main__":
    main()
