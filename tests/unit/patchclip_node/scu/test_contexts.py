"""What is proposed to a destination, and how long it may take."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless

from patchclip_node.domain.errors import PeerError
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu import associations as module
from patchclip_node.scu.contexts import MAX_CONTEXTS, contexts_for, with_pictures
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from tests.peers.radiographs import radiograph, write


def result(number: int, syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = UID(f"1.2.840.10008.5.1.4.1.1.88.{number}")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def test_no_more_contexts_are_proposed_than_have_a_number() -> None:
    many = [result(number) for number in range(1, MAX_CONTEXTS)]

    assert len(contexts_for(many)) == MAX_CONTEXTS == len(with_pictures(contexts_for(many)))
    assert len(contexts_for([result(1), result(1)])) == 2
    assert [one.transfer_syntax for one in contexts_for([result(1, JPEG2000Lossless)])] == [[JPEG2000Lossless]]


def test_the_times_of_an_association_are_those_of_the_sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[float | None, ...]] = []

    class Entity(module._AskingEntity):
        def associate(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            seen.append((self.connection_timeout, self.acse_timeout, self.dimse_timeout, self.network_timeout))
            return super().associate(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_AskingEntity", Entity)
    nobody = Destination("nobody", "NOBODY", "127.0.0.1", 1)
    path = write(radiograph(rows=8, columns=8), tmp_path / "one.dcm")

    with pytest.raises(PeerError, match="refused the connection"):
        DicomResultSender("PATCHCLIP", Timeouts(connect_s=1, acse_s=2, response_s=3)).send(nobody, [path])
    with pytest.raises(PeerError, match="refused the connection"):
        DicomResultSender("PATCHCLIP").send(nobody, [path])

    usual = Timeouts()
    assert seen == [(1, 2, 3, 3), (usual.connect_s, usual.acse_s, usual.response_s, usual.response_s)]
