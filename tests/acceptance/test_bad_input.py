"""Whatever is sent, every study ends with a reason that a person understands, and the node keeps serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ComputedRadiographyImageStorage, SecondaryCaptureImageStorage

from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION
from tests.peers.dcmtk import Storescp
from tests.peers.node import Node, new_node
from tests.peers.radiographs import as_jpeg_2000, radiograph, write

pytestmark = pytest.mark.peer("dcmtk")

Change = Callable[[Dataset], None]


def _pixels(dataset: Dataset, bits_stored: int, *, signed: bool = False, inverted: bool = False) -> None:
    """Give the radiograph of `radiograph(bright=True)` another depth; its bright rectangle stays bright."""
    twelve_bits = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).astype(np.float64)
    level = twelve_bits / 4095
    values = np.rint((1 - level if inverted else level) * (2**bits_stored - 1))
    if signed:
        values -= 2 ** (bits_stored - 1)
    allocated = 8 if bits_stored <= 8 else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = values.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    dataset.WindowCenter, dataset.WindowWidth = str(0 if signed else 2 ** (bits_stored - 1)), str(2**bits_stored)


def depth(bits_stored: int, *, signed: bool = False) -> Change:
    return lambda dataset: _pixels(dataset, bits_stored, signed=signed)


def monochrome1(dataset: Dataset) -> None:
    _pixels(dataset, 12, inverted=True)
    dataset.PhotometricInterpretation = "MONOCHROME1"


def without(*keywords: str) -> Change:
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def zero_window(dataset: Dataset) -> None:
    dataset.WindowWidth = "0"


def zero_spacing(dataset: Dataset) -> None:
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = ["0", "0"]


ANALYSED = {
    "8 bit": depth(8),
    "10 bit": depth(10),
    "12 bit": depth(12),
    "15 bit": depth(15),
    "16 bit": depth(16),
    "signed 12 bit": depth(12, signed=True),
    "signed 16 bit": depth(16, signed=True),
    "MONOCHROME1": monochrome1,
    "no window": without("WindowCenter", "WindowWidth"),
    "zero window": zero_window,
    "no spacing": without("PixelSpacing", "ImagerPixelSpacing"),
    "zero spacing": zero_spacing,
    "nothing said of patient, part, view or side": without(
        "PatientName", "PatientID", "PatientBirthDate", "BodyPartExamined", "ViewPosition", "PatientOrientation"
    ),
}
"""What a hospital would want analysed: name -> what is done to a good radiograph with a bright rectangle."""


def truncated(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]


def truncated_codestream(dataset: Dataset) -> None:
    compressed = as_jpeg_2000(dataset)
    dataset.file_meta = compressed.file_meta
    (codestream,) = generate_frames(compressed.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([codestream[: len(codestream) // 2]])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"


def lateral(dataset: Dataset) -> None:
    dataset.ViewPosition = "LL"


def ct_as_secondary_capture(dataset: Dataset) -> None:
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality, dataset.ConversionType = "CT", "WSD"


def colour(dataset: Dataset) -> None:
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = bytes(3 * dataset.Rows * dataset.Columns)


def one_pixel(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = 1
    dataset.PixelData = b"\0\0"


def huge_header(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = 65535


def another_body_part(dataset: Dataset) -> None:
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.Modality, dataset.BodyPartExamined = "CR", "KNEE"


REFUSED: dict[str, tuple[Change, str]] = {
    "truncated pixels": (truncated, "pixel"),
    "truncated codestream": (truncated_codestream, "cut off"),
    "lateral view": (lateral, "lateral"),
    "a CT stored as Secondary Capture": (ct_as_secondary_capture, "CT"),
    "a colour image": (colour, "colour"),
    "a 1x1 image": (one_pixel, "1 x 1"),
    "a huge header": (huge_header, "65535"),
    "another body part": (another_body_part, "KNEE"),
}
"""What is refused: name -> what is done to a good radiograph, and a word that the study's reason must hold."""


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Storescp, dict[str, str]]]:
    """A node to which everything was sent and that has ended every study: node, its destination, name -> study."""
    folder = tmp_path_factory.mktemp("bad_input")
    paths: list[Path] = []
    studies: dict[str, str] = {}
    for name, change in {**ANALYSED, **{name: change for name, (change, _) in REFUSED.items()}}.items():
        dataset = radiograph(bright=True)
        studies[name] = str(dataset.StudyInstanceUID)
        change(dataset)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        paths.append(write(dataset, folder / f"{len(paths):02}.dcm"))
    with dcmtk.storescp(folder / "storescp") as destination:
        node = new_node(folder / "node", [destination.destination])
        with node.running():
            plain = [path for path in paths if not dcmread(path).file_meta.TransferSyntaxUID.is_compressed]
            first = dcmtk.storescu(node.port, *plain)
            second = dcmtk.storescu(node.port, *(path for path in paths if path not in plain), options=("-xv",))
            assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
            node.wait_for_end_of(list(studies.values()), timeout_s=120)
            yield node, destination, studies


def study(sent: tuple[Node, Storescp, dict[str, str]], name: str) -> StudyRecord:
    node, _, studies = sent
    return node.wait_for_end_of([studies[name]])[studies[name]]


@pytest.mark.parametrize("name", ANALYSED)
def test_an_unusual_radiograph_comes_back(sent: tuple[Node, Storescp, dict[str, str]], name: str) -> None:
    ended = study(sent, name)

    assert ended.state is StudyState.RETURNED, (ended.reason, ended.error)
    held = [dcmread(path) for path in sent[1].files()]
    classes = sorted(one.SOPClassUID for one in held if one.StudyInstanceUID == ended.study_instance_uid)
    assert classes == [SEGMENTATION, COMPREHENSIVE_SR], "the bright rectangle was found"


@pytest.mark.parametrize("name", REFUSED)
def test_an_unsuitable_image_is_rejected_with_a_reason(sent: tuple[Node, Storescp, dict[str, str]], name: str) -> None:
    ended = study(sent, name)

    assert ended.state is StudyState.REJECTED, (ended.state, ended.error)
    assert ended.reason is not None
    assert REFUSED[name][1] in ended.reason
    assert "Traceback" not in ended.reason


def test_the_node_still_serves_and_has_lost_nothing(
    sent: tuple[Node, Storescp, dict[str, str]], tmp_path: Path
) -> None:
    node, _, studies = sent
    good = radiograph(bright=True)

    assert all(len(node.received(uid)) == 1 for uid in studies.values())
    assert dcmtk.echoscu(node.port).returncode == 0
    dcmtk.storescu(node.port, write(good, tmp_path / "good.dcm"))
    assert node.wait_for_end_of([good.StudyInstanceUID])[good.StudyInstanceUID].state is StudyState.RETURNED
    assert "defect" not in node.log
