"""The demo from beginning to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from patchclip_core.values.definitions import load_findings
from patchclip_core.values.statement import NOTHING_SEEN
from patchclip_core.values.wording import UNTRAINED_WARNING, load_wordings
from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.demo.archive import AE_TITLE, Archive
from patchclip_node.demo.node import DemoNode, running_node, write_config
from patchclip_node.demo.outcome import StudyOutcome, has_ended, outcome_of
from patchclip_node.demo.pictures import stale_pictures, write_pictures
from patchclip_node.demo.report import Timings, write_report
from patchclip_node.demo.studies import SentStudy, all_files, collect_studies
from patchclip_node.ports.ledger import Studies
from patchclip_node.services.analyse import ResultIssuer

POLL_S: Final = 0.1

Progress = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""(description, total) -> context that gives a function to call after each step with what was done."""


def run_demo(
    studies_dir: Path | None,
    out: Path,
    model: str | None,
    timeout_s: float,
    console: Console,
    progress: Progress,
    stop: threading.Event,
) -> bool:
    """Run the demo; True only if every study came back.

    studies_dir: a folder of DICOM files, or one file; None: the samples that come with the program. Raises
    `ConfigurationError` when there is nothing to send or `out` can't be used, `NodeError` when the node does not start,
    `KeyboardInterrupt` after `stop`.
    """
    begin = time.monotonic()
    with ExitStack() as stack:
        source = studies_dir or stack.enter_context(as_file(files("patchclip_node.samples")))
        studies, left_out = collect_studies(source)
        for line in left_out:
            console.print(Text(f"left out: {line}", style="yellow"))
        _clear(out)
        archive = stack.enter_context(Archive(out / "returned"))
        config = write_config(out, AE_TITLE, archive.port, model)
        migrate(config.ledger_url)
        ledger = SqlLedger(config.ledger_url)
        stack.callback(ledger.close)
        console.print(f"starting a node: {config.ae_title} on 127.0.0.1:{config.port}, configuration {config.path}")
        node = stack.enter_context(running_node(config, out / "node.log", stop))
        started = time.monotonic()
        console.print(
            f"the node answers C-ECHO after {started - begin:.1f} s; its pages: http://127.0.0.1:{config.web_port}/"
        )
        refused = _send(archive, node, studies, progress)
        _wait(ledger.studies, node, archive, studies, refused, timeout_s, progress)
        ended = time.monotonic()
        outcomes = [
            outcome_of(ledger.studies, study, refused[study.study_instance_uid], archive.returned) for study in studies
        ]
    issuer = ResultIssuer(DerivedUidGenerator(), AE_TITLE, load_findings(), load_wordings())
    spool = FileSpool(config.data_dir / "spool", reserve_bytes=0)
    with closing(SqlLedger(config.ledger_url)) as kept:
        pictures = write_pictures(outcomes, kept.studies, spool, issuer, out)
    timings = Timings(started - begin, ended - started, time.monotonic() - begin)
    write_report(out / "report.html", outcomes, pictures, timings)
    _print(outcomes, timings, out, console)
    return all(outcome.problem is None for outcome in outcomes)


def _clear(out: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (*stale_pictures(out), *(out / "returned").glob("[0-9][0-9][0-9]-s*.dcm")):
        path.unlink()


def _send(
    archive: Archive, node: DemoNode, studies: Sequence[SentStudy], progress: Progress
) -> Mapping[str, list[str]]:
    """C-STORE everything; Study Instance UID -> why images of it were refused."""
    refused: dict[str, list[str]] = {study.study_instance_uid: [] for study in studies}
    owner = {path: study for study in studies for path in study.files}
    paths = all_files(studies)
    with progress("sending image", len(paths)) as done:
        for path, why in archive.send(paths, node.config.ae_title, node.config.port):
            if why:
                refused[owner[path].study_instance_uid].append(f"{path.name} was not accepted: {why}")
            done(f"{path.name} {why or 'accepted'}")
            node.check()
    return refused


def _wait(
    known: Studies,
    node: DemoNode,
    archive: Archive,
    studies: Sequence[SentStudy],
    refused: Mapping[str, Sequence[str]],
    timeout_s: float,
    progress: Progress,
) -> None:
    """Wait until every study that the node accepted has ended; raises `NodeError` when the node ends before."""
    waiting = {
        study.study_instance_uid: study
        for study in studies
        if len(refused[study.study_instance_uid]) < len(study.files)
    }
    end = time.monotonic() + timeout_s
    with progress("study", len(waiting)) as done:
        while waiting and time.monotonic() < end:
            node.check()
            for uid, study in list(waiting.items()):
                if has_ended(known, study):
                    del waiting[uid]
                    came = sum(item.study_instance_uid == uid for item in archive.returned)
                    done(f"{study.title}: {known.revisions(uid)[-1].state.lower()}, {came} objects came back")
            time.sleep(POLL_S)


def _print(outcomes: Sequence[StudyOutcome], timings: Timings, out: Path, console: Console) -> None:
    table = Table(title="What came back", title_justify="left", show_lines=True)
    table.add_column("study", overflow="fold")
    table.add_column("findings above their threshold, and where", overflow="fold")
    table.add_column("time", no_wrap=True)
    table.add_column("returned", overflow="fold")
    for outcome in outcomes:
        table.add_row(Text(outcome.sent.title), _findings(outcome), _seconds(outcome), _returned(outcome))
    console.print()
    console.print(table)
    model = next((outcome.summary.model for outcome in outcomes if outcome.summary), None)
    if model and not model.trained:
        console.print(
            Text(f" {UNTRAINED_WARNING}: nothing that it reports has a meaning. {model.statement} ", "black on yellow")
        )
    for outcome in outcomes:
        if outcome.problem:
            console.print(Text(f"did not come back: {outcome.sent.title}: {outcome.problem}", style="bold red"))
    came_back = sum(outcome.problem is None for outcome in outcomes)
    style = "bold green" if came_back == len(outcomes) else "bold red"
    console.print(Text(f"{came_back} of {len(outcomes)} studies came back", style=style), end="")
    console.print(f" in {timings.studies_s:.1f} s ({timings.total_s:.1f} s with starting and stopping the node)")
    console.print(f"report:  {out / 'report.html'}")
    console.print(f"objects: {out / 'returned'}")
    console.print(f"ledger:  patchclip-node studies list --config {out / 'node.yaml'}")


def _findings(outcome: StudyOutcome) -> RenderableType:
    if outcome.summary is None:
        return Text(outcome.problem or "not analysed", style="yellow")
    lines = Table.grid(padding=(0, 2))
    for image in outcome.summary.images:
        found = [finding for finding in image.findings if finding.state.is_found]
        for finding in found:
            lines.add_row(Text(f"{finding.name}: {finding.state}"), Text(finding.where, style="dim"))
        if not found:
            lines.add_row(NOTHING_SEEN)
    return lines


def _seconds(outcome: StudyOutcome) -> Text:
    steps = [f"{step:<8}{value:6.2f} s" for step, value in (outcome.summary.seconds if outcome.summary else {}).items()]
    total = [f"{'in all':<8}{outcome.total_s:6.2f} s"] if outcome.total_s is not None else []
    return Text("\n".join(steps + total))


def _returned(outcome: StudyOutcome) -> Text:
    return Text("\n".join(f"{item.modality} {item.path.name}" for item in outcome.returned) or "nothing")
