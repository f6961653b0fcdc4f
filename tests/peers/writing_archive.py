"""An archive on a host of a test: a program that takes every object, and writes down what came, in order.

    python -m tests.peers.writing_archive ADDRESS PORT FILE

A line is written before its object is acknowledged, so that what was acknowledged is in it, whatever kills the program.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from patchclip_node.dicom.statuses import SUCCESS
from tests.peers.archive import COMPREHENSIVE_SR, KEY_OBJECTS, SEGMENTATION

AE_TITLE = "ARCHIVE"


@dataclass(frozen=True, slots=True)
class Came:
    """One C-STORE. sha256: of the data set as it was sent."""

    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str


def what_came(file: Path) -> Iterator[Came]:
    """Read what the program has written."""
    if file.exists():
        for line in file.read_text().splitlines():
            yield Came(**json.loads(line))


def serve(address: str, port: int, file: Path) -> None:
    """Take objects until it is killed."""
    writing = threading.Lock()

    def keep(event: evt.Event) -> int:
        encoded = event.encoded_dataset(include_meta=False)
        came = Came(
            str(event.dataset.StudyInstanceUID),
            str(event.dataset.SOPClassUID),
            str(event.dataset.SOPInstanceUID),
            hashlib.sha256(encoded).hexdigest(),
        )
        with writing, file.open("a") as lines:
            lines.write(json.dumps(asdict(came)) + "\n")
        return SUCCESS

    ae = AE(AE_TITLE)
    for sop_class in (COMPREHENSIVE_SR, SEGMENTATION, KEY_OBJECTS):
        ae.add_supported_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    ae.network_timeout = ae.dimse_timeout = 30
    ae.start_server((address, port), evt_handlers=[(evt.EVT_C_STORE, keep)])


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
