from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.receiver import build_receiver, listen, receivers_of
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import LimitSettings, NodeSettings, TlsSettings, read_settings
from tests.peers.processes import free_port
from tests.peers.radiographs import data_set_bytes, radiograph, write


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return read_settings(
        None,
        host="127.0.0.1",
        port=free_port(),
        data_dir=tmp_path / "var",
        limits=LimitSettings(min_free_bytes=0),
    )


@pytest.fixture
def ledger(settings: NodeSettings) -> Iterator[SqlLedger]:
    ledger = open_ledger(settings)
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    ("wanted", "cores", "processes"), [(None, 1, 1), (None, 2, 2), (None, 64, 2), (1, 8, 1), (5, 2, 5)]
)
def test_two_processes_receive_where_there_are_cores_and_no_other_number_is_set(
    settings: NodeSettings, wanted: int | None, cores: int, processes: int
) -> None:
    wished = settings.model_copy(update={"receivers": wanted})

    assert receivers_of(wished, cores) == processes
    assert receivers_of(wished.model_copy(update={"tls": TlsSettings.model_construct()}), cores) == 1


@pytest.mark.parametrize("process", ["receiver", "deliverer"])
def test_importing_the_process_imports_no_torch(process: str) -> None:
    program = f"import patchclip_node.bootstrap.{process}, sys; assert 'torch' not in sys.modules"

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_an_acknowledged_instance_is_in_the_spool_and_in_the_ledger(
    settings: NodeSettings, ledger: SqlLedger, tmp_path: Path
) -> None:
    dataset = radiograph()
    sent = write(dataset, tmp_path / "sent.dcm")
    spool = open_spool(settings)
    ae = AE("MODALITY")
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)

    with build_receiver(settings, ledger, spool, open_clock(ledger)):
        association = ae.associate("127.0.0.1", settings.port)
        status = association.send_c_store(dataset).Status
        association.release()

    (record,) = ledger.studies.instances(dataset.StudyInstanceUID)
    assert status == 0x0000
    assert record.instance.calling_ae_title == "MODALITY"
    assert record.instance.spool_key is not None
    with spool.local_path(record.instance.spool_key) as path:
        assert data_set_bytes(path) == data_set_bytes(sent)


def test_it_waits_for_a_port_that_is_about_to_be_left(settings: NodeSettings, ledger: SqlLedger) -> None:
    scp = build_receiver(settings, ledger, open_spool(settings), open_clock(ledger))
    stale = socket.create_server(("127.0.0.1", settings.port))
    leaving = threading.Timer(0.3, stale.close)
    leaving.start()

    listening = listen(scp, settings, threading.Event())

    leaving.join()
    scp.stop()
    assert listening


def test_a_port_that_stays_taken_is_named(settings: NodeSettings, ledger: SqlLedger) -> None:
    scp = build_receiver(settings, ledger, open_spool(settings), open_clock(ledger))

    with (
        socket.create_server(("127.0.0.1", settings.port)),
        pytest.raises(ConfigurationError, match=rf"can't listen on 127\.0\.0\.1:{settings.port}: Address"),
    ):
        listen(scp, settings, threading.Event(), patience_s=0.2)


def test_a_stop_while_waiting_for_the_port_ends_the_wait(settings: NodeSettings, ledger: SqlLedger) -> None:
    scp = build_receiver(settings, ledger, open_spool(settings), open_clock(ledger))
    stop = threading.Event()
    stop.set()

    assert not listen(scp, settings, stop)
