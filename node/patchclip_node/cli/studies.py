"""`studies list | show | requeue | resend | purge`: what the ledger knows, and another try."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console
from patchclip_node.audit import events
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, print_json
from patchclip_node.domain.errors import ForbiddenTransitionError, RecalledError, RetryableError
from patchclip_node.domain.records import EventRecord, StudyRecord
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.ports.task_queue import Work
from patchclip_node.services.study_summary import StudySummary, outcome_line, read_summary, recall_lines
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.ports.ledger import Studies

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="List studies, show one, or have one worked on again."
)

STATE_STYLES = {
    StudyState.RETURNED: "green",
    StudyState.PARTLY_RETURNED: "bold yellow",
    StudyState.FAILED: "bold red",
    StudyState.REJECTED: "yellow",
}

STUDIES_OF_AN_EVENT = 20
"""A message about more of them would be longer than what a collector has to take."""

UidArgument = Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study Instance UID.", show_default=False)]


@app.command("list")
def list_studies(
    config: ConfigOption = None,
    state: Annotated[
        list[StudyState] | None,
        typer.Option("--state", "-s", case_sensitive=False, help="Only this state; repeatable."),
    ] = None,
    patient: Annotated[str | None, typer.Option("--patient", "-p", metavar="ID", help="Only this Patient ID.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="List at most this number.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List studies, the most recently received first."""
    from patchclip_node.bootstrap.common import open_clock

    with existing_ledger(read_settings(config)) as ledger:
        asked = f"state={','.join(state or ())} patient_id={patient or ''}"
        ledger.audit.record(events.queried(open_clock(ledger).now(), shell_user(), events.CLI, asked))
        studies = ledger.studies.find(tuple(state or ()), patient, limit)
        if as_json:
            _tell_of_export(ledger, studies)
    if as_json:
        print_json([_study_values(study) for study in studies])
        return
    if not studies:
        typer.echo("no study matches" if state or patient else "no study has arrived yet")
        return
    table = Table()
    for name in ("state", "patient", "study", "accession", "images", "received (UTC)", "study instance UID", "outcome"):
        table.add_column(name, overflow="fold", justify="right" if name == "images" else "left")
    for study in studies:
        table.add_row(
            _state(study.state),
            Text(study.patient_name or study.patient_id),
            Text(study.study_description + (f" (revision {study.revision})" if study.revision > 1 else "")),
            Text(study.accession_number),
            str(study.instance_count),
            _moment(study.first_received_at),
            Text(study.study_instance_uid),
            Text(outcome_line(study)),
        )
    console().print(table)


@app.command()
def show(study_uid: UidArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of one study: revisions, events, findings, results and where they were sent."""
    from patchclip_node.bootstrap.common import open_clock

    with existing_ledger(read_settings(config)) as ledger:
        revisions = ledger.studies.revisions(study_uid)
        if not revisions:
            complain(_unknown(study_uid))
            raise typer.Exit(EXIT_FAILURE)
        ledger.audit.record(events.opened(revisions[-1], open_clock(ledger).now(), shell_user(), events.CLI))
        if as_json:
            _tell_of_export(ledger, revisions)
            print_json(
                {
                    "study_instance_uid": study_uid,
                    "revisions": [_revision_values(study, ledger.studies) for study in revisions],
                    "instances": [asdict(record) for record in ledger.studies.instances(study_uid)],
                }
            )
            return
        out = console()
        for study in revisions:
            _print_revision(study, ledger.studies, out)
        _print_instances(study_uid, ledger.studies, out)


@app.command()
def requeue(
    study_uid: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY_UID]...", help="Study Instance UIDs.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Every study that is FAILED or PARTLY_RETURNED.")
    ] = False,
) -> None:
    """Work on studies once more.

    A failed return is sent again. A failed or rejected analysis is repeated. A study that was returned is analysed
    again as a new revision with new objects: what was sent never changes.
    """
    if not study_uid and not all_failed:
        raise typer.BadParameter("name a Study Instance UID, or use --all-failed")
    from patchclip_node.bootstrap.common import open_clock

    settings = read_settings(config)
    accepted: list[StudyRecord] = []
    with existing_ledger(settings) as ledger:
        wanted = list(study_uid or ())
        if all_failed:
            failed = (StudyState.FAILED, StudyState.PARTLY_RETURNED)
            wanted += [study.study_instance_uid for study in ledger.studies.find(failed, limit=10_000)]
        wanted = list(dict.fromkeys(wanted))
        for uid in wanted:
            try:
                study = ledger.requeueing.requeue(uid, open_clock(ledger).now(), shell_user())
            except KeyError:
                complain(_unknown(uid))
            except ForbiddenTransitionError as error:
                complain(f"{uid}: {error}: it is under way already")
            else:
                accepted.append(study)
                typer.echo(f"{uid}: revision {study.revision} is {study.state}")
    if any(study.state is StudyState.RECEIVED for study in accepted):
        _wake(settings)
    if len(accepted) < len(wanted):
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def resend(
    study_uid: Annotated[list[str], typer.Argument(metavar="STUDY_UID...", help="Study Instance UIDs.")],
    config: ConfigOption = None,
    destination: Annotated[
        str | None, typer.Option("--destination", "-d", metavar="NAME", help="To this one alone; default: to all.")
    ] = None,
) -> None:
    """Send a study's results once more: the same objects, byte for byte, to the destinations that they were made for.

    For an archive that lost what it had. Nothing is analysed; `requeue` does that.
    """
    from patchclip_node.bootstrap.common import open_clock

    refused = 0
    with existing_ledger(read_settings(config)) as ledger:
        for uid in dict.fromkeys(study_uid):
            try:
                study = ledger.requeueing.resend(uid, open_clock(ledger).now(), destination, shell_user())
            except KeyError as error:
                known = error.args[0] != uid
                complain(f"{uid}: it has no results for {error.args[0]}" if known else _unknown(uid))
                refused += 1
            except RecalledError as error:
                complain(f"{uid}: {error}. Nothing of it is sent again; `studies requeue` analyses it again")
                refused += 1
            except ForbiddenTransitionError as error:
                complain(f"{uid}: {error}: only what was sent, or failed to be, can be sent again")
                refused += 1
            else:
                typer.echo(f"{uid}: revision {study.revision} is {study.state}")
    if refused:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def purge(
    study_uid: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY_UID]...", help="Study Instance UIDs.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; nothing does.")] = False,
) -> None:
    """Delete studies whole: images, results, pictures and what the ledger knows. Destinations keep what they have.

    Without UIDs those whose time is over by `retention`, up to 200; with UIDs these, whatever their age. What is under
    way stays.
    """
    from patchclip_node.bootstrap.common import open_clock, open_spool
    from patchclip_node.services.retain import RetentionService

    settings = read_settings(config)
    refused = 0
    with existing_ledger(settings) as ledger:
        service = RetentionService(
            ledger.retention, ledger.studies, open_spool(settings), open_clock(ledger), settings.retention_policy
        )
        for uid in dict.fromkeys(study_uid or [study.study_instance_uid for study in service.over()]):
            states = [study.state for study in ledger.studies.revisions(uid)]
            if not states:
                complain(_unknown(uid))
                refused += 1
            elif not set(states) <= FINAL_STATES or not (dry_run or service.forget(uid, shell_user())):
                complain(f"{uid}: it is {states[-1]}: what is under way is not purged")
                refused += 1
            else:
                typer.echo(f"{uid}: {states[-1]}, {'would go' if dry_run else 'purged'}")
        if not dry_run:
            service.delete_files()
    if refused:
        raise typer.Exit(EXIT_FAILURE)


def _tell_of_export(ledger: SqlLedger, studies: list[StudyRecord]) -> None:
    """Tell that studies go to another program, each once."""
    from patchclip_node.bootstrap.common import open_clock

    newest = list({study.study_instance_uid: study for study in studies}.values())
    now, who = open_clock(ledger).now(), shell_user()
    parts = [newest[start : start + STUDIES_OF_AN_EVENT] for start in range(0, len(newest), STUDIES_OF_AN_EVENT)]
    ledger.audit.record(*(events.exported(now, who, "standard output", part) for part in parts))


def _wake(settings: NodeSettings) -> None:
    from patchclip_node.adapters.celery_queue import CeleryTaskQueue, make_celery

    queue = CeleryTaskQueue(make_celery(settings.broker_url, settings.queue_dir))
    try:
        queue.wake(Work.ANALYSE)
    except RetryableError as error:
        complain(f"note: {error}; a running worker finds the study by itself")


def _unknown(study_uid: str) -> str:
    return f"no study {study_uid!r} is in the ledger; `patchclip-node studies list` shows what is there"


def _print_revision(study: StudyRecord, known: Studies, out: Console) -> None:
    out.print()
    out.print(Text(f"{study.patient_name or '(no name)'}  {study.study_description}".strip(), style="bold"))
    facts = Table.grid(padding=(0, 2))
    results = known.results(study.id)
    for name, value in (
        ("study instance UID", study.study_instance_uid),
        ("revision", str(study.revision)),
        ("patient ID", study.patient_id),
        ("accession number", study.accession_number),
        ("state", f"{study.state} since {_moment(study.state_since)} UTC, attempts: {study.attempts}"),
        ("not analysed because", study.reason),
        ("error", study.error),
        ("results", "\n".join(recall_lines(results))),
    ):
        if value:
            facts.add_row(Text(name, style="dim"), Text(value))
    out.print(facts)
    if summary := read_summary(study.summary_json):
        _print_findings(summary, out)
    if results:
        deliveries = known.deliveries(study.id)
        table = Table(title="results", title_justify="left")
        for column in ("object", "SOP instance UID", "destination", "state", "attempts", "detail"):
            table.add_column(column, overflow="fold")
        for record in results:
            sent = [delivery for delivery in deliveries if delivery.result.id == record.id]
            for delivery in sent:
                detail = _moment(delivery.delivered_at) if delivery.delivered_at else delivery.last_error or ""
                table.add_row(
                    record.result.kind.upper(),
                    record.result.sop_instance_uid,
                    delivery.destination,
                    delivery.state.value,
                    str(delivery.attempts),
                    Text(detail),
                )
            if not sent:
                table.add_row(
                    record.result.kind.upper(), record.result.sop_instance_uid, "", "", "", "kept in the spool"
                )
        out.print(table)
    _print_events(known.events(study.id), out)


def _print_findings(summary: StudySummary, out: Console) -> None:
    if not summary.model.trained:
        out.print(Text(f"UNTRAINED MODEL. {summary.model.statement}", style="bold black on yellow"))
    for image in summary.images:
        table = Table(title=Text(f"findings in {image.sop_instance_uid}"), title_justify="left")
        table.add_column("finding")
        table.add_column("state")
        table.add_column("probability", justify="right")
        table.add_column("threshold", justify="right")
        table.add_column("where (x, y, w, h in pixels)", overflow="fold")
        for finding in image.findings:
            where = "; ".join(f"{r.x:.0f}, {r.y:.0f}, {r.w:.0f}, {r.h:.0f}" for r in finding.regions)
            table.add_row(
                finding.name,
                finding.state,
                "" if finding.probability is None else f"{finding.probability:.3f}",
                "" if finding.threshold is None else f"{finding.threshold:.3f}",
                where or (finding.reason or ""),
                style="bold" if finding.state == "present" else "dim",
            )
        out.print(table)
    model = summary.model
    seconds = ", ".join(f"{step} {value:.2f} s" for step, value in summary.seconds.items())
    out.print(Text(f"model {model.name} {model.version}, {model.weights_digest}\ntime: {seconds}", style="dim"))


def _print_events(events: list[EventRecord], out: Console) -> None:
    table = Table(title="what happened", title_justify="left", show_header=False)
    for event in events:
        table.add_row(
            _moment(event.at), _state(event.state_after), event.event.replace("_", " ").lower(), Text(event.detail)
        )
    out.print(table)


def _print_instances(study_uid: str, known: Studies, out: Console) -> None:
    table = Table(title="received instances", title_justify="left")
    for column in ("received (UTC)", "from", "modality", "SOP instance UID", "revision", "remark"):
        table.add_column(column, overflow="fold")
    for record in known.instances(study_uid):
        instance = record.instance
        table.add_row(
            _moment(instance.received_at),
            Text(f"{instance.calling_ae_title} {instance.peer_address}"),
            Text(instance.header.modality),
            Text(instance.header.sop_instance_uid),
            str(record.revision),
            Text(record.image_reason or ("a result of this node" if record.own_result else "")),
        )
    out.print(table)


def _revision_values(study: StudyRecord, known: Studies) -> dict[str, Any]:
    return {
        **_study_values(study),
        "events": [asdict(event) for event in known.events(study.id)],
        "results": [asdict(record) for record in known.results(study.id)],
        "deliveries": [asdict(delivery) for delivery in known.deliveries(study.id)],
    }


def _study_values(study: StudyRecord) -> dict[str, Any]:
    values = asdict(study)
    del values["summary_json"]
    summary = read_summary(study.summary_json)
    values["analysis"] = summary.model_dump(mode="json") if summary else None
    values["priority"] = study.priority.name
    return values


def _state(state: StudyState) -> Text:
    return Text(state.value, style=STATE_STYLES.get(state, "cyan"))


def _moment(value: datetime | None) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value else ""
