from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from celery.worker import state as celery_state
from pynetdicom import AE
from starlette.testclient import TestClient

from patchclip_core.checkpoints import checkpoint
from patchclip_core.values.results import Analyzer
from patchclip_node.adapters.celery_queue import CeleryTaskQueue, make_celery
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.deliverer import build_deliverer
from patchclip_node.bootstrap.receiver import build_receiver
from patchclip_node.bootstrap.web import build_web
from patchclip_node.bootstrap.worker import Worker, _consume, build_worker
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.returned import ReturnedService
from patchclip_node.services.sweep import SweepService
from patchclip_node.settings import DestinationSettings, LimitSettings, NodeSettings, read_settings
from patchclip_node.tasks import WorkOff
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION, Archive
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph
from tests.support.fakes import told_at_once

BRIGHT = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"


def settings_in(folder: Path, archive: Archive | None = None) -> NodeSettings:
    destinations: tuple[DestinationSettings, ...] = ()
    if archive is not None:
        one = archive.destination
        destinations = (DestinationSettings(name=one.name, ae_title=one.ae_title, host=one.host, port=one.port),)
    return read_settings(
        None,
        host="127.0.0.1",
        port=free_port(),
        data_dir=folder / "var",
        quiet_s=0,
        limits=LimitSettings(min_free_bytes=0),
        destinations=destinations,
    )


def load_bright(name: str, device: str) -> Analyzer:
    return checkpoint.load(BRIGHT, device)


def deliver_until(settings: NodeSettings, done: Callable[[], bool]) -> None:
    stop = threading.Event()
    with build_deliverer(settings) as deliverer:
        lanes = threading.Thread(target=deliverer.delivery.run, args=(stop, 0.1))
        lanes.start()
        try:
            wait_until(done, "the results have arrived")
        finally:
            stop.set()
            lanes.join()


def test_the_wired_node_takes_a_study_all_the_way(tmp_path: Path) -> None:
    dataset = radiograph(bright=True)
    ae = AE("MODALITY")
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    with Archive() as archive:
        settings = settings_in(tmp_path, archive)
        ledger, spool = open_ledger(settings), open_spool(settings)
        with build_receiver(settings, ledger, spool, open_clock(ledger)):
            association = ae.associate("127.0.0.1", settings.port)
            association.send_c_store(dataset)
            association.release()

        with build_worker(settings, lambda: False, load_bright) as worker:
            worker.sweep.run_once()
            worker.work_off(Work.ANALYSE)
        deliver_until(settings, lambda: bool(archive.sop_instance_uids[1:]))
        (study,) = ledger.studies.revisions(dataset.StudyInstanceUID)
        with TestClient(
            build_web(settings, ledger, spool, open_clock(ledger), told_at_once(ledger)), base_url="http://127.0.0.1"
        ) as browser:
            page = browser.get(f"/studies/{dataset.StudyInstanceUID}")
        ledger.close()

    assert study.state is StudyState.RETURNED, (study.error, study.reason)
    assert sorted(str(result.SOPClassUID) for result in archive.received) == [SEGMENTATION, COMPREHENSIVE_SR]
    assert page.status_code == 200
    assert "RETURNED" in page.text.upper()


class IdleSweep:
    """Sweeps nothing until it is to stop."""

    def run(self, stop: threading.Event, every_s: float) -> None:
        stop.wait()


@pytest.fixture(autouse=True)
def _celery_as_before() -> Iterator[None]:
    yield
    celery_state.should_stop = None


def worker_that(work_off: object, folder: Path) -> Worker:
    app = make_celery(None, folder / "var" / "queue")
    return Worker(app, cast(WorkOff, work_off), cast(SweepService, IdleSweep()), cast(ReturnedService, IdleSweep()))


def test_a_call_over_the_queue_makes_the_worker_work(tmp_path: Path) -> None:
    stop = threading.Event()
    called: list[Work] = []

    def note(work: Work) -> None:
        called.append(work)
        stop.set()

    worker = worker_that(note, tmp_path)
    CeleryTaskQueue(worker.app).wake(Work.ANALYSE)

    status = _consume(worker, settings_in(tmp_path), stop)

    assert (status, called) == (os.EX_OK, [Work.ANALYSE])


def test_a_defect_ends_the_process_with_a_status_that_says_so(tmp_path: Path) -> None:
    def defect(work: Work) -> None:
        raise ZeroDivisionError

    worker = worker_that(defect, tmp_path)
    CeleryTaskQueue(worker.app).wake(Work.ANALYSE)

    assert _consume(worker, settings_in(tmp_path), threading.Event()) == os.EX_SOFTWARE


def test_an_idle_worker_ends_promptly(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    started = time.monotonic()
    status = _consume(worker_that(lambda work: None, tmp_path), settings_in(tmp_path), stop)

    assert status == os.EX_OK
    assert time.monotonic() - started < 5
