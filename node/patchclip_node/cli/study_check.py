"""`doctor`'s test study: through a node of these settings and back, beside the one that runs, and of no patient.

The node is made for it in a folder that goes afterwards: receiver, ledger, model, results and delivery are those of the
settings; ports, queue and archive are its own, on loopback. So the running node counts and keeps nothing of it, its
audit trail tells nothing, and no PACS gets anything, unless `--send-to` asks for that.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog
from pynetdicom import AE, evt

from patchclip_core.errors import PatchClipError
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.receiver import build_receiver
from patchclip_node.bootstrap.runtime import require_runtime
from patchclip_node.cli.check_result import Check, CheckResult, Status
from patchclip_node.demo.loopback import LoopbackScp
from patchclip_node.dicom.statuses import SUCCESS
from patchclip_node.dicom.storage import RESULT_SOP_CLASSES, SECONDARY_CAPTURE
from patchclip_node.dicom.trial_image import write_trial_image
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import NodeError, PeerError
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.domain.trial_patient import PATIENT_NAME, TEST_ID
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.result_sender import Destination
from patchclip_node.ports.task_queue import Work
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import AuditSettings, DestinationSettings, NodeSettings

RETURN_WITHIN_S: Final = 60.0
"""How long the results may take from the node to the archive beside it."""
_AE_TITLE: Final = "DOCTOR"


def synthetic_study(settings: NodeSettings) -> Iterator[CheckResult]:
    """A study of a test patient is received, analysed and returned, each destination's objects to doctor itself."""
    require_runtime(settings.model)
    with tempfile.TemporaryDirectory(prefix="patchclip-doctor-") as folder:
        yield _through(settings, Path(folder))


def sent_to(name: str) -> Check:
    """Return the check that sends what a destination would get of the test study to that destination itself."""

    def test_study_sent(settings: NodeSettings) -> Iterator[CheckResult]:
        yield _send_to(settings, name)

    return test_study_sent


def _send_to(settings: NodeSettings, name: str) -> CheckResult:
    item = next(one for one in settings.destinations if one.name == name)
    check = f"destination {name}, test study"
    only = settings.model_copy(update={"destinations": (item,), "renamed_destinations": {}})
    with tempfile.TemporaryDirectory(prefix="patchclip-doctor-") as folder:
        returned = _through(only, Path(folder))
        if returned.status is not Status.OK:
            return CheckResult(check, Status.FAIL, f"there was nothing to send: {returned.detail}", returned.advice)
        paths = sorted((Path(folder) / "archive").glob("*.dcm"))
        security = settings.security_to(item)
        there = Destination(item.name, item.ae_title, item.host, item.port, confirm=item.confirm, security=security)
        try:
            outcomes = DicomResultSender(settings.ae_title).send(there, paths)
        except PeerError as error:
            return CheckResult(check, Status.FAIL, str(error), "see what is said of this destination")
    refused = [one.error for one in outcomes if one.error is not None]
    if refused:
        return CheckResult(check, Status.FAIL, "; ".join(refused), "mend what it says, there or under its profile")
    detail = f"it took {len(outcomes)} objects of the patient {PATIENT_NAME}, {TEST_ID}"
    return CheckResult(check, Status.OK, detail, "delete that patient there")


def _through(settings: NodeSettings, folder: Path) -> CheckResult:
    started_s = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(_silent_logs())
        image = folder / "test.dcm"
        write_trial_image(image, TEST_ID)
        archive = stack.enter_context(_Archive(folder / "archive"))
        try:
            problem = _run(_beside(settings, folder / "node", archive.port), image, archive)
        except (NodeError, PatchClipError) as error:
            problem = str(error)
    took_s = time.monotonic() - started_s
    if problem is not None:
        return CheckResult("test study", Status.FAIL, problem, "mend what it says; the node would fail alike")
    came = ", ".join(f"{count} {modality}" for modality, count in sorted(archive.counted.items()))
    detail = (
        f"a radiograph of {PATIENT_NAME} was received, analysed and returned to doctor itself in {took_s:.1f} s: {came}"
    )
    return CheckResult("test study", Status.OK, detail)


class _Archive(LoopbackScp):
    """Takes every class that is sent and keeps each object in `folder`, as the archive of each destination would."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._lock = folder, threading.Lock()
        self.counted: Counter[str] = Counter()
        ae = AE(_AE_TITLE)
        for uid in (*RESULT_SOP_CLASSES, SECONDARY_CAPTURE):
            ae.add_supported_context(uid)
        super().__init__(ae, self._keep)

    def _keep(self, event: evt.Event) -> int:
        with self._lock:
            self.counted[str(event.dataset.Modality)] += 1
            path = self._folder / f"{self.counted.total():03d}.dcm"
        path.write_bytes(event.encoded_dataset())
        return SUCCESS


def _beside(settings: NodeSettings, folder: Path, port: int) -> NodeSettings:
    """Return the settings of a node beside the real one: what it decides by is the same, what it touches is not."""
    real = settings.destinations or (
        DestinationSettings(name="doctor", ae_title=_AE_TITLE, host="127.0.0.1", port=port),
    )
    here = {"host": "127.0.0.1", "port": port, "tls": None, "confirm": Confirmation.NONE}
    return settings.model_copy(
        update={
            "host": "127.0.0.1",
            "port": 0,
            "tls": None,
            "allowed_networks": (),
            "calling_ae_titles": (),
            "known_callers": (),
            "data_dir": folder,
            "ledger_url": None,
            "broker_url": None,
            "quiet_s": 0.0,
            "destinations": tuple(one.model_copy(update=here) for one in real),
            "limits": settings.limits.model_copy(update={"min_free_bytes": 0}),
            "audit": AuditSettings(),
        }
    )


def _run(settings: NodeSettings, image: Path, archive: _Archive) -> str | None:
    """Let the node receive, analyse and return; gives what kept the study from coming back."""
    ledger = open_ledger(settings)
    try:
        scp = build_receiver(settings, ledger, open_spool(settings), open_clock(ledger))
        scp.start()
        try:
            node = Destination("the node", settings.ae_title, "127.0.0.1", scp.port)
            (outcome,) = DicomResultSender(_AE_TITLE).send(node, [image])
        finally:
            scp.stop()
        if outcome.error is not None:
            return f"it was not received: {outcome.error}"
        _analyse(settings)
        return _return(settings, ledger.studies, archive)
    finally:
        ledger.close()


def _analyse(settings: NodeSettings) -> None:
    from patchclip_node.bootstrap.worker import build_worker

    with build_worker(settings, lambda: False) as worker:
        worker.sweep.run_once()
        worker.work_off(Work.ANALYSE)


def _return(settings: NodeSettings, known: Studies, archive: _Archive) -> str | None:
    from patchclip_node.bootstrap.deliverer import build_deliverer

    (study,) = known.find()
    if study.state is StudyState.RECEIVED:
        return f"it was received, and its analysis failed: {known.events(study.id)[-1].detail}"
    if study.state not in FINAL_STATES:
        stop = threading.Event()
        with build_deliverer(settings) as deliverer:
            lanes = threading.Thread(target=deliverer.delivery.run, args=(stop, settings.sweep_s), daemon=True)
            lanes.start()
            end_s = time.monotonic() + RETURN_WITHIN_S
            while study.state not in FINAL_STATES and time.monotonic() < end_s:
                stop.wait(0.05)
                (study,) = known.find()
            stop.set()
            lanes.join()
    if study.state is StudyState.RETURNED and archive.counted:
        return None
    why = study.reason or study.error or "nothing came back"
    return f"it was received, and ended {study.state}: {why}"


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep what the node logs of its work off this command's output: what became of it is told in the table."""

    def drop(*_: object) -> dict[str, object]:
        raise structlog.DropEvent

    before, disabled = structlog.get_config(), logging.root.manager.disable
    structlog.configure(processors=[drop])
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.disable(disabled)
