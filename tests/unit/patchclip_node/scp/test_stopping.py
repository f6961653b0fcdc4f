"""What listens ends in one way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
)

from patchclip_node.scp.storage_scp import StorageScp
from tests.peers.radiographs import radiograph
from tests.support.scp import KeepingReceiver, associate, received_until_end, wait_until


def test_stopping_lets_an_association_under_way_end(
    start: Callable[..., StorageScp], receiver: KeepingReceiver
) -> None:
    scp = start()
    dataset = radiograph()
    association = associate(scp, (dataset.SOPClassUID, ExplicitVRLittleEndian))
    stopping = threading.Thread(target=scp.stop, args=(5.0,))

    stopping.start()
    response = association.send_c_store(dataset)
    association.release()
    stopping.join()

    assert response.Status == 0x0000
    assert len(receiver.files) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", scp.port), timeout=1)


def test_stopping_closes_a_connection_that_has_asked_for_nothing(start: Callable[..., StorageScp]) -> None:
    scp = start()
    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        wait_until(lambda: scp.connections == 1)

        scp.stop(grace_s=0)

        assert received_until_end(peer) == b""
