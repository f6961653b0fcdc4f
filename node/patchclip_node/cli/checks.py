"""What `doctor` tries. Each check looks at one thing and says what to do about it; none changes anything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from patchclip_core.errors import CheckpointError, PatchClipError
from patchclip_core.terminal import missing_extra, require_package
from patchclip_node.cli.audit_checks import audit_trail
from patchclip_node.cli.check_result import Check, CheckResult, Status
from patchclip_node.cli.destination_checks import destinations
from patchclip_node.cli.openid_checks import openid, sealed_accounts
from patchclip_node.cli.port_checks import dicom_port, web_port
from patchclip_node.cli.spool_checks import spool_store
from patchclip_node.cli.study_check import synthetic_study
from patchclip_node.cli.tls_checks import tls
from patchclip_node.domain.commitment import OwedReport
from patchclip_node.domain.errors import LedgerUnavailableError, NodeError
from patchclip_node.domain.masking import masked_url
from patchclip_node.domain.records import DeliveryState, LedgerCounts
from patchclip_node.domain.states import StudyState
from patchclip_node.settings import NodeSettings

_PEER_TIMEOUT_S = 5.0
_CLOCKS_AGREE_S = 60.0


_ADVICE: Final = {
    LedgerUnavailableError: "start the database, or correct ledger_url; a damaged file: restore its backup",
    CheckpointError: "set `model` to a whole checkpoint folder, or to a shipped name",
}
"""What to do where a check ends with an error that names what is wrong alone."""


def run_check(check: Check, settings: NodeSettings) -> list[CheckResult]:
    """Run one check; trouble that it did not foresee is a failure, not the end of the examination."""
    name = check.__name__.replace("_", " ")
    try:
        return list(check(settings))
    except (NodeError, PatchClipError, OSError) as error:
        advice = next((words for kind, words in _ADVICE.items() if isinstance(error, kind)), "")
        return [CheckResult(name, Status.FAIL, str(error), advice)]
    except ModuleNotFoundError as error:
        if (words := missing_extra(error)) is None:
            raise
        return [CheckResult(name, Status.WARN, words, "do so where this is done; elsewhere go without")]
    except Exception as error:  # noqa: BLE001 - the boundary: every finding belongs in the table
        detail = f"the check itself failed: {type(error).__name__}: {error}"
        return [CheckResult(name, Status.FAIL, detail, "this is a defect of the program: please report it")]


def findings_file(settings: NodeSettings) -> Iterator[CheckResult]:
    """Names and codes of findings can be read."""
    from patchclip_core.values.definitions import load_findings

    definitions = load_findings(settings.findings_file)
    yield CheckResult("findings file", Status.OK, f"{len(definitions)} findings: {', '.join(definitions)}")


def words_of_headers(settings: NodeSettings) -> Iterator[CheckResult]:
    """The words for body parts and views can be read, the site's own too."""
    from patchclip_core.io.vocabulary import load_vocabulary

    load_vocabulary(settings.radiographs_file)
    own = f"and {settings.radiographs_file}" if settings.radiographs_file else "no words of your own"
    yield CheckResult("words of headers", Status.OK, f"as shipped, {own}")


def data_folder(settings: NodeSettings) -> Iterator[CheckResult]:
    """Files can be made durable where the node keeps its data."""
    folder = settings.data_dir.absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        yield CheckResult("data folder", Status.FAIL, f"{existing} is not a folder", "set data_dir to a folder")
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        _try_to_write(folder, list(reversed(missing)))
    except OSError as error:
        if missing:
            advice = f"as root: install -d -o USER {folder}, with the user that runs the node, or set another data_dir"
            detail = f"{folder} cannot be made in {existing}: {error.strerror}"
        else:
            advice = "give the user that runs the node write access"
            detail = f"{folder} cannot be written: {error.strerror}"
        yield CheckResult("data folder", Status.FAIL, detail, advice)
        return
    if missing:
        yield CheckResult("data folder", Status.OK, f"{folder} does not exist yet; the node can make it")
    else:
        yield CheckResult("data folder", Status.OK, f"{folder} can be written and synced")
    yield _free_space(settings, existing)


def _try_to_write(folder: Path, missing: Sequence[Path]) -> None:
    """Write a file as the node would, and leave nothing: the folders that it takes are made, and removed again."""
    made: list[Path] = []
    try:
        for one in missing:
            one.mkdir(mode=0o700)
            made.append(one)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"durable?")
            file.flush()
            os.fsync(file.fileno())
    finally:
        for one in reversed(made):
            one.rmdir()


def _free_space(settings: NodeSettings, folder: Path) -> CheckResult:
    free, reserve = shutil.disk_usage(folder).free, settings.limits.min_free_bytes
    detail = f"{free / 1024**3:.1f} GiB free, reserve {reserve / 1024**3:.1f} GiB (limits.min_free_bytes)"
    if free <= reserve:
        return CheckResult("free space", Status.FAIL, detail, "every image would be refused with 0xA700: free space")
    if free <= 2 * reserve:
        return CheckResult("free space", Status.WARN, detail, "free space soon")
    return CheckResult("free space", Status.OK, detail)


def ledger(settings: NodeSettings) -> Iterator[CheckResult]:
    """The ledger answers, and its tables are such as this version works on."""
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.adapters.ledger.migrate import Standing, standing

    where = masked_url(settings.effective_ledger_url)
    if settings.ledger_url is None and not (settings.data_dir / "ledger.sqlite").exists():
        yield CheckResult("ledger", Status.OK, f"{where} does not exist yet; the node will make it")
        return
    stands = standing(settings.effective_ledger_url)
    if stands is Standing.EMPTY:
        yield CheckResult("ledger", Status.OK, f"{where} answers; it has no tables yet: the node will make them")
        return
    if stands is Standing.EARLIER:
        detail = f"{where} was written by an earlier version: no process of this one starts on it"
        yield CheckResult("ledger", Status.FAIL, detail, "stop the node, then run `patchclip-node upgrade`")
        return
    database = SqlLedger(settings.effective_ledger_url)
    try:
        counts, waiting = database.workload.counts(), database.workload.waiting_by_destination()
        owed, accounts = database.owed_reports.owed(), database.accounts.all()
        backlogs = database.audit.backlogs()
    finally:
        database.close()
    studies = sum(counts.studies_by_state.values())
    later = "; a later version made its tables, and this one works on them" if stands is Standing.LATER else ""
    yield CheckResult("ledger", Status.OK, f"{where} answers: {studies} studies, {counts.instances} instances{later}")
    served = {name for destination in settings.destinations for name in settings.names_of(destination)}
    for name in sorted(set(waiting) - served):
        detail = f"{waiting[name]} studies wait for a destination {name} that the configuration does not have"
        advice = f"add it again, or say under renamed_destinations what it is called now: {name}: NEW_NAME"
        yield CheckResult(f"destination {name}", Status.WARN, detail, advice)
    yield from _what_failed(counts)
    if conflicts := counts.deliveries_by_state[DeliveryState.CONFLICT]:
        detail = f"{conflicts} results were not taken since the destination knows their patient otherwise"
        advice = "mend the patient on the destination or at the source, then `studies requeue UID`"
        yield CheckResult("patient conflicts", Status.WARN, detail, advice)
    yield from _untold_reports(owed)
    yield from sealed_accounts(settings, accounts)
    yield from audit_trail(backlogs)


def _what_failed(counts: LedgerCounts) -> Iterator[CheckResult]:
    """What the ledger has given up, which nothing tries again by itself."""
    look = "`studies list --state FAILED --state PARTLY_RETURNED` has the reasons; mend them, then `studies requeue`"
    failed, partly = (counts.studies_by_state[one] for one in (StudyState.FAILED, StudyState.PARTLY_RETURNED))
    if failed or partly:
        detail = f"{failed} studies FAILED, {partly} are PARTLY_RETURNED: nothing is tried any more"
        yield CheckResult("failed studies", Status.WARN, detail, look)
    if given_up := counts.deliveries_by_state[DeliveryState.FAILED]:
        detail = f"{given_up} results FAILED to be delivered"
        yield CheckResult("failed deliveries", Status.WARN, detail, look)


def _untold_reports(owed: Sequence[OwedReport]) -> Iterator[CheckResult]:
    """One line for each peer that could not be told what it asked for."""
    untold = [one for one in owed if one.last_error is not None]
    for ae_title, address in sorted({(one.ae_title, one.address) for one in untold}):
        theirs = [one for one in untold if (one.ae_title, one.address) == (ae_title, address)]
        oldest = theirs[0]
        detail = (
            f"{len(theirs)} storage commitment reports could not be told to {ae_title} at {address}, the oldest of "
            f"{oldest.asked_at:%Y-%m-%d %H:%M} UTC, tried {oldest.attempts} times: {oldest.last_error}"
        )
        advice = (
            "check its port under known_callers, and that it takes reports there; they go until retry.deliver_for_s"
        )
        yield CheckResult("commitment reports", Status.WARN, detail, advice)


def workers(settings: NodeSettings) -> Iterator[CheckResult]:
    """Those that run are seen, hear the broker and do not hang; the ledger's time is that of this machine."""
    from patchclip_node.adapters.clock import SteadyClock, SystemClock, host_start
    from patchclip_node.adapters.file_spool import free_bytes_above
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.adapters.ledger.migrate import works_on
    from patchclip_node.domain.backlog import Backlog
    from patchclip_node.services.health import backlog_is_full, health

    if (settings.ledger_url is None and not (settings.data_dir / "ledger.sqlite").exists()) or not works_on(
        settings.effective_ledger_url
    ):
        yield CheckResult("workers", Status.OK, "none has run yet")
        return
    database = SqlLedger(settings.effective_ledger_url)
    try:
        started_at = database.clocks.known_start(host_start())
        clock = SystemClock() if started_at is None else SteadyClock(started_at)
        now, seen = clock.now(), database.workers.all()
        due, waiting = database.workload.due(now), database.workload.waiting()
    finally:
        database.close()
    limit = settings.limits.backlog
    if limit.most is not None:
        full = backlog_is_full(Backlog(limit), waiting)
        told = f"{waiting} of at most {limit.most} studies wait for their analysis (limits.max_waiting_studies)"
        yield (
            CheckResult("backlog", Status.OK, told)
            if full is None
            else CheckResult("backlog", Status.WARN, full.detail, full.advice)
        )
    free_bytes = free_bytes_above(settings.data_dir, settings.limits.min_free_bytes)
    if seen:
        found = health(seen, due, free_bytes, now, analyses=not settings.forward)
        for one in found.conditions:
            yield CheckResult("workers", Status.WARN, one.detail, one.advice)
        if not found.conditions:
            living = ", ".join(f"{count} {role}" for role, count in found.working.items())
            yield CheckResult("workers", Status.OK, f"at work or waiting for it: {living}")
    else:
        yield CheckResult("workers", Status.OK, "none is running")
    ahead_s = (SystemClock().now() - now).total_seconds()
    if abs(ahead_s) > _CLOCKS_AGREE_S:
        detail = (
            f"this machine's time was set {abs(ahead_s):.0f} s {'forward' if ahead_s > 0 else 'back'} since it started"
        )
        advice = "leases and waits are not touched; times on pages are right again after the next start of the machine"
        yield CheckResult("time", Status.WARN, detail, advice)


def queue(settings: NodeSettings) -> Iterator[CheckResult]:
    """The broker answers."""
    if settings.broker_url is None:
        yield CheckResult("queue", Status.OK, "embedded, in the data folder; no broker is needed")
        return
    from celery import Celery

    where = masked_url(settings.broker_url)
    try:
        with Celery(broker=settings.broker_url).connection_for_write(connect_timeout=_PEER_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=_PEER_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - kombu raises what the transport's client raises
        advice = "start the broker, or correct broker_url; studies wait in the ledger meanwhile"
        yield CheckResult("queue", Status.FAIL, f"{where} does not answer: {error}", advice)
        return
    yield CheckResult("queue", Status.OK, f"{where} answers")


def model(settings: NodeSettings) -> Iterator[CheckResult]:
    """The checkpoint loads, whether it was trained, and what it does not evaluate."""
    from patchclip_core.checkpoints.checkpoint import find, read_card
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.bootstrap.runtime import require_runtime

    require_runtime(settings.model)
    from patchclip_node.bootstrap.model import load_analyzer

    analyzer = load_analyzer(settings)
    identity = analyzer.identity
    detail = f"{identity.name} {identity.version}, {identity.weights_digest}"
    yield CheckResult("model", Status.OK, detail)
    if not identity.trained:
        advice = "set `model` to a trained checkpoint; until then the results show the way, not the patient"
        yield CheckResult("model training", Status.WARN, f"NOT TRAINED. {identity.statement}", advice)
    elif not identity.calibrated:
        yield CheckResult("model training", Status.WARN, "trained; its probabilities are not calibrated")
    else:
        yield CheckResult("model training", Status.OK, f"trained and calibrated; trained on {identity.training_data}")
    undecided = [finding for finding in read_card(find(settings.model)).findings if finding.not_evaluated]
    if undecided:
        listed = "; ".join(f"{finding.key}: {finding.not_evaluated}" for finding in undecided)
        yield CheckResult("model findings", Status.OK, f"not evaluated by this model: {listed}")
    unnamed = [key for key in analyzer.finding_keys if key not in load_findings(settings.findings_file)]
    if unnamed:
        detail = f"the model knows findings that the findings file does not name: {', '.join(unnamed)}"
        yield CheckResult("model findings", Status.FAIL, detail, "add an entry for each to the findings file")


def decoders(settings: NodeSettings) -> Iterator[CheckResult]:
    """Each transfer syntax that the node accepts is decoded, from a small image that comes with the program."""
    from patchclip_node.bootstrap.decoding import open_decoder
    from patchclip_node.dicom.storage import TRANSFER_SYNTAXES

    require_package("gdcm")  # it is missed here, and not in the child that decodes
    import numpy as np

    expected = np.tile(np.linspace(0.0, 1.0, 64, dtype=np.float32), (64, 1))
    troubles: list[str] = []
    with as_file(files("patchclip_node.cli") / "streams") as folder, open_decoder(settings.limits) as decoder:
        for uid, name in TRANSFER_SYNTAXES.items():
            try:
                pixels = decoder.read(folder / f"{uid}.dcm").pixels
            except PatchClipError as error:
                troubles.append(f"{name}: {error}")
                continue
            if pixels.shape != expected.shape or float(np.abs(pixels - expected).max()) > 0.05:
                troubles.append(f"{name}: decoded to other pixels than were encoded")
    if troubles:
        advice = "the installation is damaged: install the locked versions again (make venv)"
        yield CheckResult("decoders", Status.FAIL, "; ".join(troubles), advice)
    else:
        yield CheckResult("decoders", Status.OK, f"all {len(TRANSFER_SYNTAXES)} transfer syntaxes decode")


ALL_CHECKS: tuple[Check, ...] = (
    tls,
    findings_file,
    words_of_headers,
    data_folder,
    spool_store,
    ledger,
    workers,
    queue,
    model,
    decoders,
    synthetic_study,
    destinations,
    dicom_port,
    web_port,
    openid,
)

_OF_ANALYSIS: Final = (findings_file, words_of_headers, queue, model, decoders, synthetic_study)
"""What a node that hands images on does without."""


def checks_of(settings: NodeSettings) -> tuple[Check, ...]:
    """Return what is tried of a node with these settings."""
    return tuple(one for one in ALL_CHECKS if not settings.forward or one not in _OF_ANALYSIS)
