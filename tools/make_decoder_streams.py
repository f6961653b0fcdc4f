"""Make the small images that `patchclip-node doctor` decodes: one for each transfer syntax that the node accepts.

Each is a grey ramp from left (black) to right (white), 64 x 64. Needs DCMTK's dcmcjpeg and dcmcjpls, node and npm. The
files are in the repository; run `python tools/make_decoder_streams.py` again only when a transfer syntax is added.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from openjpeg.utils import encode_array
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

OUT = Path(__file__).parents[1] / "node" / "patchclip_node" / "cli" / "streams"
SIZE_PX = 64
DCMTK = {
    "1.2.840.10008.1.2.4.50": ("dcmcjpeg", "+eb"),
    "1.2.840.10008.1.2.4.51": ("dcmcjpeg", "+ee"),
    "1.2.840.10008.1.2.4.57": ("dcmcjpeg", "+el"),
    "1.2.840.10008.1.2.4.70": ("dcmcjpeg", "+e1"),
    "1.2.840.10008.1.2.4.80": ("dcmcjpls", "+el"),
    "1.2.840.10008.1.2.4.81": ("dcmcjpls", "+en"),
}
HTJ2K_ENCODER = "@cornerstonejs/codec-openjph@2.4.11"
HTJ2K = {
    "1.2.840.10008.1.2.4.201": ("lossless", "LRCP"),
    "1.2.840.10008.1.2.4.202": ("lossless", "RPCL"),
    "1.2.840.10008.1.2.4.203": ("lossy", "LRCP"),
}


def ramp(bits: int, uid: str, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Return the uncompressed image with `bits` bits a sample."""
    top = 2**bits - 1
    pixels = np.tile(np.linspace(0, top, SIZE_PX), (SIZE_PX, 1)).round().astype(np.uint8 if bits == 8 else np.uint16)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = f"2.25.1{uid.replace('.', '')[-18:]}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2"
    dataset.PatientID, dataset.PatientName, dataset.Modality, dataset.ConversionType = "RAMP", "Ramp", "OT", "SYN"
    dataset.Rows = dataset.Columns = SIZE_PX
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8 if bits == 8 else 16), bits, bits - 1
    dataset.WindowCenter, dataset.WindowWidth = str((top + 1) // 2), str(top + 1)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def encapsulated(dataset: Dataset, stream: bytes) -> Dataset:
    """Return the image with its pixels replaced by a compressed stream."""
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    return dataset


def write_htj2k(folder: Path) -> None:
    """Fetch the encoder into a folder and write the High-Throughput JPEG 2000 files."""
    subprocess.run(["npm", "pack", "--silent", HTJ2K_ENCODER], cwd=folder, check=True, capture_output=True)  # noqa: S607 - found on the PATH, as a developer has it
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    script = Path(__file__).with_name("encode_htj2k.js")
    for uid, (loss, order) in HTJ2K.items():
        dataset = ramp(12, uid, uid)
        command = ["node", str(script), str(folder / "package"), str(SIZE_PX), "12", loss, order]
        stream = subprocess.run(command, input=dataset.PixelData, capture_output=True, check=True).stdout
        encapsulated(dataset, stream).save_as(OUT / f"{uid}.dcm", enforce_file_format=True)


def main() -> None:
    """Write all files."""
    OUT.mkdir(exist_ok=True)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        ramp(12, syntax, syntax).save_as(OUT / f"{syntax}.dcm", enforce_file_format=True)
    dataset = ramp(12, RLELossless)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(OUT / f"{RLELossless}.dcm", enforce_file_format=True)
    for syntax, ratios in ((JPEG2000Lossless, None), (JPEG2000, [10.0])):
        dataset = ramp(12, syntax, syntax)
        samples = np.frombuffer(dataset.PixelData, np.uint16).reshape(SIZE_PX, SIZE_PX)
        stream = bytes(encode_array(samples, bits_stored=12, compression_ratios=ratios))
        encapsulated(dataset, stream).save_as(OUT / f"{syntax}.dcm", enforce_file_format=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ramp.dcm"
        for uid, (program, option) in DCMTK.items():
            ramp(8 if option == "+eb" else 12, uid).save_as(source, enforce_file_format=True)
            subprocess.run([program, option, "+un", source, OUT / f"{uid}.dcm"], check=True)  # +un: keep the UID
        write_htj2k(Path(folder))


if __name__ == "__main__":
    main()
