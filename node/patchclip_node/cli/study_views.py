"""`studies list | show`: what the ledger knows of studies."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
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
from patchclip_node.domain.recalls import Recall
from patchclip_node.domain.records import EventRecord, StudyFilter, StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.services.study_summary import StudySummary, outcome_line, read_summary, recall_lines
from patchclip_node.settings import read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.ports.ledger import Studies

STATE_STYLES = {
    StudyState.RETURNED: "green",
    StudyState.PARTLY_RETURNED: "bold yellow",
    StudyState.FAILED: "bold red",
    StudyState.REJECTED: "yellow",
    StudyState.HELD: "bold cyan",
    StudyState.KEPT: "blue",
}

STUDIES_OF_AN_EVENT = 20
"""A message about more of them would be longer than what a collector has to take."""

UidArgument = Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study Instance UID.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to `studies`."""
    app.command("list")(list_studies)
    app.command()(show)


def list_studies(
    config: ConfigOption = None,
    state: Annotated[
        list[StudyState] | None,
        typer.Option("--state", "-s", case_sensitive=False, help="Only this state; repeatable."),
    ] = None,
    patient: Annotated[str | None, typer.Option("--patient", "-p", metavar="ID", help="Only this Patient ID.")] = None,
    accession: Annotated[
        str | None, typer.Option("--accession", "-a", metavar="NUMBER", help="Only this Accession Number.")
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--sender", metavar="AE_TITLE", help="Only what came from this calling AE title.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Last received on this day (UTC) or later.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="Last received on this day (UTC) or earlier."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="List at most this number.")] = 50,
    uids: Annotated[bool, typer.Option("--uids", help="Print Study Instance UIDs alone, one a line.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List studies, the most recently received first. A UID stands alone in its line, whole, to be copied."""
    from patchclip_node.bootstrap.common import open_clock

    filters = StudyFilter(
        states=tuple(state or ()),
        patient_id=patient,
        accession_number=accession,
        calling_ae_title=sender,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC) + timedelta(days=1),
    )
    with existing_ledger(read_settings(config)) as ledger:
        ledger.audit.record(events.queried(open_clock(ledger).now(), shell_user(), events.CLI, filters.in_words))
        studies = ledger.studies.filtered(filters, limit)
        recalled = ledger.recalls.of_revisions([study.id for study in studies])
        if as_json:
            _tell_of_export(ledger, studies)
    if as_json:
        print_json([_study_values(study) | {"recalled": _line(recalled.get(study.id))} for study in studies])
        return
    if uids:
        for uid in dict.fromkeys(study.study_instance_uid for study in studies):
            typer.echo(uid)
        return
    if not studies:
        typer.echo("no study matches" if filters != StudyFilter() else "no study has arrived yet")
        return
    out = console()
    for study in studies:
        _print_line(study, recalled.get(study.id), out)
    if len(studies) == limit:
        complain(f"these are the first {limit}: --limit shows more, and filters fewer")


def _line(recall: Recall | None) -> str | None:
    return None if recall is None else recall.line


def _print_line(study: StudyRecord, recall: Recall | None, out: Console) -> None:
    """Print a study in lines that are as long as they need: what is cut, or wrapped, cannot be copied."""
    out.print(Text(study.study_instance_uid, style="bold"), soft_wrap=True)
    facts = [
        study.patient_name or "(no name)",
        study.patient_id or "(no Patient ID)",
        *(f"accession {number}" for number in [study.accession_number] if number),
        *(text for text in [study.study_description] if text),
    ]
    state = _state(study.state)
    revision = f", revision {study.revision}" if study.revision > 1 else ""
    images = "1 image" if study.instance_count == 1 else f"{study.instance_count} images"
    head = Text.assemble("    ", state, f"{revision}, {images}, received {_moment(study.first_received_at)} UTC")
    out.print(head, soft_wrap=True)
    out.print(Text("    " + "; ".join(facts)), soft_wrap=True)
    if outcome := outcome_line(study):
        out.print(Text("    " + outcome), soft_wrap=True)
    if recall is not None:
        out.print(Text(f"    results were {recall.line}", style="yellow"), soft_wrap=True)


def show(study_uid: UidArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of one study: revisions, events, findings, results and where they were sent."""
    from patchclip_node.bootstrap.common import open_clock

    with existing_ledger(read_settings(config)) as ledger:
        revisions = ledger.studies.revisions(study_uid)
        if not revisions:
            complain(unknown(study_uid))
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


def _tell_of_export(ledger: SqlLedger, studies: list[StudyRecord]) -> None:
    """Tell that studies go to another program, each once."""
    from patchclip_node.bootstrap.common import open_clock

    newest = list({study.study_instance_uid: study for study in studies}.values())
    now, who = open_clock(ledger).now(), shell_user()
    parts = [newest[start : start + STUDIES_OF_AN_EVENT] for start in range(0, len(newest), STUDIES_OF_AN_EVENT)]
    ledger.audit.record(*(events.exported(now, who, "standard output", part) for part in parts))


def unknown(study_uid: str) -> str:
    """Return what is said of a study that the ledger does not know."""
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
