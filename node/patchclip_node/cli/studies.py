"""`studies requeue | resend | purge`: another try, and the end. `study_views.py` has `list` and `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli import study_views
from patchclip_node.cli.asking import DryRunOption, YesOption, ask
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.study_views import unknown
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.errors import ForbiddenTransitionError, RecalledError, RetryableError
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import FINAL_STATES, TRANSITIONS, StudyEvent, StudyState
from patchclip_node.ports.task_queue import Work
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.ports.ledger import Studies

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="List studies, show one, or have one worked on again."
)
study_views.register(app)

_FAILED = (StudyState.FAILED, StudyState.PARTLY_RETURNED)


@app.command()
def requeue(
    study_uid: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY_UID]...", help="Study Instance UIDs.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Every study that is FAILED or PARTLY_RETURNED.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
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
            wanted += [study.study_instance_uid for study in ledger.studies.find(_FAILED, limit=10_000)]
        wanted = list(dict.fromkeys(wanted))
        if dry_run:
            _say_all([_what_requeue_does(uid, ledger.studies) for uid in wanted])
            return
        if len(wanted) > 1:
            ask(f"Work on {len(wanted)} studies once more?", yes)
        for uid in wanted:
            try:
                study = ledger.requeueing.requeue(uid, open_clock(ledger).now(), shell_user())
            except KeyError:
                complain(unknown(uid))
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
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Send a study's results once more: the same objects, byte for byte, to the destinations that they were made for.

    For an archive that lost what it had. Nothing is analysed; `requeue` does that.
    """
    from patchclip_node.bootstrap.common import open_clock

    refused = 0
    with existing_ledger(read_settings(config)) as ledger:
        wanted = list(dict.fromkeys(study_uid))
        if dry_run:
            _say_all([_what_resend_does(uid, ledger.studies, destination) for uid in wanted])
            return
        if len(wanted) > 1:
            ask(f"Send the results of {len(wanted)} studies once more?", yes)
        for uid in wanted:
            try:
                study = ledger.requeueing.resend(uid, open_clock(ledger).now(), destination, shell_user())
            except KeyError as error:
                known = error.args[0] != uid
                complain(f"{uid}: it has no results for {error.args[0]}" if known else unknown(uid))
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
    dry_run: DryRunOption = False,
    yes: YesOption = False,
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
        wanted = list(dict.fromkeys(study_uid or [study.study_instance_uid for study in service.over()]))
        if not dry_run and (len(wanted) > 1 or (wanted and not study_uid)):
            ask(f"Delete {len(wanted)} studies whole?", yes)
        for uid in wanted:
            states = [study.state for study in ledger.studies.revisions(uid)]
            if not states:
                complain(unknown(uid))
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


def _wake(settings: NodeSettings) -> None:
    from patchclip_node.adapters.celery_queue import CeleryTaskQueue, make_celery

    queue = CeleryTaskQueue(make_celery(settings.broker_url, settings.queue_dir))
    try:
        queue.wake(Work.ANALYSE)
    except RetryableError as error:
        complain(f"note: {error}; a running worker finds the study by itself")


def _say_all(lines: list[tuple[str, bool]]) -> None:
    """Say of each study what would become of it; status 1 where something would be refused."""
    for line, _ in lines:
        typer.echo(line)
    if not all(is_done for _, is_done in lines):
        raise typer.Exit(EXIT_FAILURE)


def _what_requeue_does(uid: str, known: Studies) -> tuple[str, bool]:
    """Return what `requeue` would do with a study, and whether it would do anything."""
    revisions = known.revisions(uid)
    if not revisions:
        return unknown(uid), False
    newest = revisions[-1]
    if newest.state is StudyState.RETURNED:
        return f"{uid}: {newest.state}, would be analysed again as revision {newest.revision + 1}", True
    if newest.state in _FAILED and known.results(newest.id):
        return f"{uid}: {newest.state}, what was not delivered would be sent again", True
    if (newest.state, StudyEvent.REQUEUED) in TRANSITIONS:
        return f"{uid}: {newest.state}, would be analysed again", True
    return f"{uid}: {newest.state}, is under way already", False


def _what_resend_does(uid: str, known: Studies, destination: str | None) -> tuple[str, bool]:
    """Return likewise what `resend` would do."""
    revisions = known.revisions(uid)
    if not revisions:
        return unknown(uid), False
    newest = revisions[-1]
    if (newest.state, StudyEvent.DELIVERY_REQUEUED) not in TRANSITIONS:
        return f"{uid}: {newest.state}, only what was sent, or failed to be, can be sent again", False
    deliveries = known.deliveries(newest.id)
    if any(one.state is DeliveryState.RECALLED for one in deliveries):
        return f"{uid}: its results were recalled, nothing of it is sent again", False
    due = [one for one in deliveries if destination in {None, one.destination}]
    names = ", ".join(sorted({one.destination for one in due}))
    if not due:
        return f"{uid}: it has no results for {destination or 'any destination'}", False
    return f"{uid}: {newest.state}, {len(due)} objects would go to {names} again", True
