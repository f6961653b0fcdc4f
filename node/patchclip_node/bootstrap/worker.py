"""The worker process: a model loaded once, a Celery consumer in the main thread, the sweep in another."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from celery import Celery, signals
from celery.worker import WorkController
from celery.worker import state as celery_state

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.warming import warm_up
from patchclip_core.io.vocabulary import load_vocabulary
from patchclip_core.memory import settle
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.wording import load_wordings
from patchclip_node.adapters.bell import Bell
from patchclip_node.adapters.celery_queue import CeleryTaskQueue, make_celery
from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.processes import dead_owners, process_name
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.audit import events
from patchclip_node.bootstrap.audit import audited
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.configuration import Started, run_again_and_again
from patchclip_node.bootstrap.decoding import open_decoder
from patchclip_node.bootstrap.idle_memory import IdleMemory
from patchclip_node.bootstrap.model import BoundedAnalyzer, LoadModel, load_analyzer
from patchclip_node.bootstrap.named_findings import refuse_unnamed_findings
from patchclip_node.bootstrap.readiness import tell_ready
from patchclip_node.bootstrap.returned import reader
from patchclip_node.bootstrap.stopping import Stop
from patchclip_node.bootstrap.telemetry import traced
from patchclip_node.domain.records import WorkerRole
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.analyse import AnalysisService, ResultIssuer, StudyAnalysis
from patchclip_node.services.complete import CompleteService
from patchclip_node.services.heartbeat import HeartbeatService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.leases import LeaseService
from patchclip_node.services.remind import RemindService
from patchclip_node.services.returned import ReturnedService
from patchclip_node.services.sweep import SweepService
from patchclip_node.services.wake import Waker
from patchclip_node.settings import NodeSettings
from patchclip_node.tasks import WorkOff, define_tasks

log = structlog.get_logger(__name__)

_SWEEPS_A_READING: Final = 5
"""Sweeps from one look for objects that people sent back to the next: nothing waits for what they say."""
_DEAF_GRACE_S: Final = 10.0
"""How long a consumer that hears nothing has to end by itself."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A wired worker."""

    app: Celery
    work_off: WorkOff
    sweep: SweepService
    returned: ReturnedService


@contextmanager
def build_worker(
    settings: NodeSettings,
    stopping: Callable[[], bool],
    load_model: LoadModel = checkpoint.load,
) -> Iterator[Worker]:
    """Wire the worker: load the model, start the decoding child, open ledger, spool and queue; end them afterwards.

    The model makes a first pass here, beside the rest, so that the first study does not wait for a cold one. `stopping`
    says whether the process is to end. Raises `ConfigurationError`, `CheckpointError`, `FindingsFileError` and
    `VocabularyFileError`, each of which names what to mend.
    """
    model = load_analyzer(settings, load_model)
    analyzer = BoundedAnalyzer(model, settings.limits.analysis_timeout_s, settings.studies_at_once)
    beside = ThreadPoolExecutor(1, thread_name_prefix="warming")
    warming = beside.submit(warm_up, analyzer)
    beside.shutdown(wait=False)  # with the warming its thread ends
    definitions, wordings = load_findings(settings.findings_file), load_wordings()
    settings.refuse_unknown_findings(definitions)
    vocabulary = load_vocabulary(settings.radiographs_file)
    ledger, spool, calendar = open_ledger(settings), open_spool(settings), SystemClock()
    clock = open_clock(ledger)
    app = make_celery(settings.broker_url, settings.queue_dir)
    queue = CeleryTaskQueue(app)
    owner, policy = LeaseOwner(process_name()), settings.work_policy
    try:
        with open_decoder(settings.limits) as decoder:
            issuer = ResultIssuer(DerivedUidGenerator(), settings.ae_title, definitions, wordings)
            study_analysis = StudyAnalysis(
                spool, decoder, analyzer, issuer, settings.result_plan, vocabulary, settings.pixel_check
            )
            ring = Bell(settings.results_bell).ring
            analysis = AnalysisService(ledger.analyses, ledger.recalls, study_analysis, clock, policy, calendar, ring)
            waker = Waker(queue, clock)
            sweep = SweepService(
                LeaseService(ledger.leases, clock, owner, dead_owners, policy),
                CompleteService(ledger.arrivals, waker, clock, settings.quiet_s, settings.max_open_s),
                RemindService(ledger.workload, waker, clock, owner, _end_deaf_worker),
                HeartbeatService(ledger.workers, clock, owner, WorkerRole.WORK, dead_owners, lambda: waker.trouble),
                spool,
                calendar,
            )
            returned = ReturnedService(
                ledger.studies, ledger.returned, spool, clock, definitions, reader(settings.limits)
            )
            identity = analyzer.identity
            warm_up_s = round(warming.result(), 2)
            log.info("model_loaded", model=identity.name, trained=identity.trained, warm_up_s=warm_up_s)
            with audited(events.WORK, ledger.audit, clock), traced(settings, ledger, "work"):
                work_off = WorkOff({Work.ANALYSE: analysis.run_one}, owner, stopping, settings.studies_at_once)
                yield Worker(app, work_off, sweep, returned)
    finally:
        ledger.close()


def run(config: Path | None) -> None:
    """Work until SIGTERM or SIGINT, or with other settings: the piece of work at hand is finished, no other one begun.

    Exits with 70 (EX_SOFTWARE) after a defect, so that whoever supervises the process starts a fresh one.
    """
    run_again_and_again("work", config, _work, refuse_unnamed_findings)


def _work(started: Started, stop: Stop) -> None:
    settings = started.settings
    with build_worker(settings, stop.is_set) as worker:
        status = _consume(worker, settings, stop)
    if status:
        sys.exit(status)


def _consume(worker: Worker, settings: NodeSettings, stop: threading.Event) -> int:
    """Run the Celery consumer in this thread until `stop` or a defect; returns the process's exit status."""
    define_tasks(worker.app, IdleMemory(worker.work_off), on_defect=lambda: _end_consumer(os.EX_SOFTWARE))
    worker.app.set_current()  # Celery looks a task up in this thread's current app
    signals.setup_logging.connect(_keep_our_logging, weak=False)
    ended = threading.Event()
    threads = [
        # The sweep renews the lease of what is at hand: it goes on until that is done.
        threading.Thread(target=worker.sweep.run, args=(ended, settings.sweep_s), name="sweep", daemon=True),
        threading.Thread(
            target=worker.returned.run, args=(stop, _SWEEPS_A_READING * settings.sweep_s), name="returned", daemon=True
        ),
        threading.Thread(target=_end_consumer_after, args=(stop, ended), name="stop", daemon=True),
    ]
    controller = WorkController(
        app=worker.app,
        hostname=f"patchclip-{os.getpid()}@localhost",
        pool_cls="solo",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        ready_callback=lambda _consumer: _say_ready(worker),
    )
    for thread in threads:
        thread.start()
    try:
        controller.start()
    finally:
        ended.set()
        stop.set()
        for thread in threads:
            thread.join()
    return int(controller.exitcode or os.EX_OK)


def _say_ready(worker: Worker) -> None:
    """The model is loaded, and the consumer hears calls: a study would be analysed."""
    log.info("ready", queues=sorted(worker.app.amqp.queues))
    tell_ready("work")
    settle()


def _end_consumer(status: int) -> None:
    """Make Celery's loop end at its next turn, within two seconds."""
    celery_state.should_stop = status


def _end_deaf_worker() -> None:
    """End this process, whose consumer waits for a broker that it lost; whoever supervises it starts another one.

    Celery's loop may be stuck where it never looks at its end. Nothing is at work then, so nothing is cut short.
    """
    _end_consumer(os.EX_SOFTWARE)
    killer = threading.Timer(_DEAF_GRACE_S, os._exit, (os.EX_SOFTWARE,))
    killer.daemon = True
    killer.start()


def _end_consumer_after(stop: threading.Event, ended: threading.Event) -> None:
    stop.wait()
    if not ended.is_set():
        _end_consumer(os.EX_OK)


def _keep_our_logging(**_: object) -> None:
    """Tell Celery by our presence that logging is configured already."""
