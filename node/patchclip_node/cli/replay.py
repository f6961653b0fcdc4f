"""`studies replay`: kept studies by another model, and what a reader would be told otherwise."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchclip_core.terminal import EXIT_FAILURE, progress
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.study_views import unknown
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.picture_files import media_type
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.services.replay import Compared, Replay, ReplayedStudy, Said


def register(app: typer.Typer) -> None:
    """Add the command to `studies`."""
    app.command()(replay)


def replay(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="CHECKPOINT", help="A folder or a shipped name.", show_default=False)
    ],
    study_uid: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY_UID]...", help="Study Instance UIDs.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Write replay.json and replay.html here."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Without UIDs: the newest, at most this many.")
    ] = 100,
    config: ConfigOption = None,
) -> None:
    """Analyse kept studies by another model, return nothing, and show what a reader would be told otherwise.

    Ledger, spool and destinations stay as they are. With --out, replay.html shows the pictures of both models side by
    side: it holds images of patients.
    """
    settings = read_settings(config)
    studies: list[ReplayedStudy] = []
    missing = 0
    with existing_ledger(settings) as ledger, _replay(settings, ledger, model) as (again, identity):
        wanted = list(dict.fromkeys(study_uid or [one.study_instance_uid for one in ledger.studies.find(limit=limit)]))
        _tell(ledger, wanted, out)
        with progress("replaying", "studies") as show:
            for number, uid in enumerate(wanted, start=1):
                try:
                    studies.append(again.run(uid))
                except KeyError:
                    complain(unknown(uid))
                    missing += 1
                show(number, len(wanted))
    for study in studies:
        for line in _lines(study):
            typer.echo(line)
    changed = sum(bool(study.changed) for study in studies)
    typer.echo(f"{len(studies)} studies by {identity}: in {changed} of them a reader would be told something else")
    if out is not None:
        _write(out, studies, identity, settings)
        typer.echo(f"{out / 'replay.html'}")
    if missing:
        raise typer.Exit(EXIT_FAILURE)


@contextmanager
def _replay(settings: NodeSettings, ledger: SqlLedger, model: str) -> Iterator[tuple[Replay, str]]:
    from patchclip_core.io.vocabulary import load_vocabulary
    from patchclip_core.values.definitions import load_findings
    from patchclip_core.values.wording import load_wordings
    from patchclip_node.adapters.uid_generator import DerivedUidGenerator
    from patchclip_node.bootstrap.common import open_spool
    from patchclip_node.bootstrap.decoding import open_decoder
    from patchclip_node.bootstrap.model import load_analyzer
    from patchclip_node.services.analyse import ResultIssuer
    from patchclip_node.services.pictures import Painter
    from patchclip_node.services.replay import Replay

    analyzer = load_analyzer(settings.model_copy(update={"model": model}))
    issuer = ResultIssuer(
        DerivedUidGenerator(), settings.ae_title, load_findings(settings.findings_file), load_wordings()
    )
    identity, spool = analyzer.identity, open_spool(settings)
    with open_decoder(settings.limits) as decoder:
        painter = Painter(ledger.studies, spool, decoder, issuer)
        again = Replay(
            ledger.studies,
            spool,
            decoder,
            analyzer,
            lambda: issuer.context(1, datetime.now(UTC)),
            lambda study, image: painter.picture(study, image, datetime.now(UTC)),
            load_vocabulary(settings.radiographs_file),
            settings.pixel_check,
            settings.result_plan.routes,
        )
        yield again, f"{identity.name} {identity.version} {identity.weights_digest}"


def _tell(ledger: SqlLedger, wanted: Sequence[str], out: Path | None) -> None:
    """Tell the audit trail that a person looks at these studies, or has them written to a folder."""
    from patchclip_node.audit import events
    from patchclip_node.bootstrap.common import open_clock

    now, by = open_clock(ledger).now(), shell_user()
    newest = [revisions[-1] for uid in wanted if (revisions := ledger.studies.revisions(uid))]
    if out is not None:
        ledger.audit.record(events.exported(now, by, out.absolute().as_uri(), newest))
    else:
        ledger.audit.record(*(events.opened(study, now, by, events.CLI, "replay") for study in newest))


def _lines(study: ReplayedStudy) -> Iterator[str]:
    if study.trouble:
        yield f"{study.study_instance_uid}: {study.trouble}"
        return
    if not study.changed:
        yield f"{study.study_instance_uid}: the same"
    for image in study.images:
        for one in image.findings:
            if one.has_changed:
                yield f"{study.study_instance_uid}: {one.finding}: {_said(one.before)} -> {_said(one.after)}"


def _said(said: Said | None) -> str:
    if said is None:
        return "not known"
    return f"{said.state}{'' if said.probability is None else f' ({said.probability:.2f})'}"


def _write(out: Path, studies: Sequence[ReplayedStudy], identity: str, settings: NodeSettings) -> None:
    from patchclip_core.drawing import page
    from patchclip_core.values.definitions import load_findings
    from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
    from patchclip_node.services.replay import told_otherwise

    out.mkdir(parents=True, exist_ok=True)
    document = {"schema": 1, "model": identity, "studies": [_document(study) for study in studies]}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (out / "replay.json").write_text(text, encoding="utf-8")
    html = page(
        "patchclip_node.cli",
        "replay.html",
        studies=sorted(studies, key=lambda study: not study.changed),
        identity=identity,
        names={key: known.name for key, known in load_findings(settings.findings_file).items()},
        told=told_otherwise(studies),
        said=_said,
        picture=_data_uri,
        product=PRODUCT_NAME,
        version=PRODUCT_VERSION,
    )
    (out / "replay.html").write_text(html, encoding="utf-8")


def _document(study: ReplayedStudy) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "revision": study.revision,
        "before": study.before,
        "trouble": study.trouble,
        "images": [
            {"sop_instance_uid": image.sop_instance_uid, "findings": [_finding(one) for one in image.findings]}
            for image in study.images
        ],
    }


def _finding(one: Compared) -> dict[str, Any]:
    def of(said: Said | None) -> dict[str, Any] | None:
        return None if said is None else {"state": said.state.value, "probability": said.probability}

    return {"finding": one.finding, "changed": one.has_changed, "before": of(one.before), "after": of(one.after)}


def _data_uri(picture: bytes) -> str:
    return f"data:{media_type(picture)};base64,{base64.b64encode(picture).decode('ascii')}"
