"""One study: its page, its pictures, what can be loaded of it, and the ways to it and on to a viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.domain.errors import CannotDrawError
from patchclip_node.domain.listing import StudySearch, search_words
from patchclip_node.domain.picture_files import media_type
from patchclip_node.domain.records import InstanceRecord, StudyRecord
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.services.study_summary import ImageSummary, read_summary
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web.actions import ACTIONS
from patchclip_node.web.audit import PageAudit
from patchclip_node.web.pages import RevisionPage
from patchclip_node.web.people import RenderPage
from patchclip_node.web.pictures import Pictures

log = structlog.get_logger(__name__)

ASKS: Final = {
    "requeue": (
        "Analyse this study again?",
        "It is analysed once more, and its results are sent to every destination. Results that were sent before stay, "
        "or are withdrawn where the settings say so.",
        "Analyse again",
    ),
    "resend": (
        "Send these results again?",
        "The same objects go once more to every destination that they were planned for.",
        "Send again",
    ),
}
"""How a study is worked on again -> what is asked before, what it means, and what the button says."""

_MOST_FOUND: Final = 100
"""Studies among which an accession number is looked for."""


DrawPicture = Callable[[StudyRecord, ImageSummary, datetime], bytes]
"""(revision, image, now) -> a picture of the image with what was found in it, a file. Raises `CannotDrawError`."""


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """The way to a viewer. label: what it is called. template: an address with the {names} that `to` fills in."""

    label: str
    template: str

    def to(self, study: StudyRecord) -> str:
        """Return the address at which the viewer shows a study."""
        return self.template.format(
            study_instance_uid=quote(study.study_instance_uid, safe=""),
            accession_number=quote(study.accession_number, safe=""),
            patient_id=quote(study.patient_id, safe=""),
        )


class StudyPages:
    """The handlers."""

    def __init__(
        self,
        studies: Studies,
        spool: Spool,
        clock: Clock,
        seen: PageAudit,
        pictures: Pictures,
        viewer: ViewerLink | None,
        page: RenderPage,
        verdicts: VerdictDesk,
        draw: DrawPicture,
    ) -> None:
        self._studies = studies
        self._spool = spool
        self._clock = clock
        self._seen = seen
        self._pictures = pictures
        self._viewer = viewer
        self._page = page
        self._verdicts = verdicts
        self._draw = draw

    def study(self, request: Request) -> Response:
        """Show a study."""
        revisions = self._revisions(request)
        study = revisions[-1]
        verdicts = self._verdicts.of_study(study.study_instance_uid)
        instances = self._studies.instances(study.study_instance_uid)
        of_readers = [one for one in instances if one.own_result and one.instance.spool_key and one.image_reason]
        details = [
            RevisionPage(
                study=revision,
                summary=read_summary(revision.summary_json),
                events=self._studies.events(revision.id),
                results=self._studies.results(revision.id),
                deliveries=self._studies.deliveries(revision.id),
                verdicts=verdicts,
                of_readers=of_readers if revision is study else (),
            )
            for revision in reversed(revisions)
        ]
        self._seen.opened(request, study)
        log.info("study_opened", account=request.state.visitor.identity, study_instance_uid=study.study_instance_uid)
        return self._page(
            request,
            "study.html",
            now=self._clock.now(),
            study=study,
            revisions=details,
            instances=instances,
            unseen=[]
            if any(one.summary for one in details)
            else [one for one in _images(instances).values() if self._pictures.can_show(one)],
            actions=[
                (action.name, action.address(study.study_instance_uid))
                for action in ACTIONS
                if request.state.visitor.may(action.act) and study.state in action.states
            ],
            viewer=None if self._viewer is None else (self._viewer.label, self._viewer.to(study)),
        )

    def overlay(self, request: Request) -> Response:
        """Give the picture with what was found drawn into it, drawn now where it is not kept."""
        revision, image = self._revision(request), self._image(request)
        try:
            content = self._draw(revision, image, self._clock.now())
        except CannotDrawError as error:
            raise HTTPException(503 if error.may_pass else 404, f"there is no picture: {error}") from error
        return Response(content, media_type=media_type(content))

    def maps(self, request: Request) -> Response:
        """Give the patch maps of an image's findings."""
        content = self._content(self._image(request).maps_key, "no maps were kept for this image")
        return Response(content, media_type="application/json", headers={"Content-Encoding": "gzip"})

    def pixels(self, request: Request) -> Response:
        """Give an image's grey values."""
        study = self._revisions(request)[-1]
        image = request.path_params["image"]
        held = {one.instance.header.sop_instance_uid: one for one in self._studies.instances(study.study_instance_uid)}
        record = held.get(image)
        if record is None or record.own_result or record.instance.spool_key is None:
            raise HTTPException(404, "there is no such image")
        self._seen.shown(request, study)
        picture = self._pictures.of(record.instance.spool_key)
        headers = {"Content-Encoding": "gzip", "X-Image-Size": f"{picture.rows} {picture.columns}"}
        return Response(picture.content, media_type="application/octet-stream", headers=headers)

    def result(self, request: Request) -> Response:
        """Give a result object as a DICOM file."""
        revisions = self._revisions(request)
        wanted = request.path_params["result"]
        for revision in reversed(revisions):
            for record in self._studies.results(revision.id):
                if record.result.sop_instance_uid == wanted:
                    self._seen.exported(request, revision)
                    content = self._content(record.result.spool_key, "")
                    return _attached(content, "application/dicom", f"{record.result.kind}-{wanted}.dcm")
        raise HTTPException(404, "there is no such result")

    def findings(self, request: Request) -> Response:
        """Give what was found as JSON."""
        revision = self._revision(request)
        summary = read_summary(revision.summary_json)
        if summary is None:
            raise HTTPException(404, "nothing was found yet: this revision was not analysed")
        self._seen.exported(request, revision)
        kept = {"images": {"__all__": {"overlay_key", "maps_key"}}}
        document = {
            "study_instance_uid": revision.study_instance_uid,
            "revision": revision.revision,
            **summary.model_dump(mode="json", exclude=kept),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False)
        name = f"findings-{revision.study_instance_uid}-{revision.revision}.json"
        return _attached(text.encode(), "application/json", name)

    def ask_again(self, request: Request) -> Response:
        """Ask whether a study is to be worked on again."""
        how = request.query_params.get("how", "")
        if how not in ASKS:
            raise HTTPException(400, "how must be requeue or resend")
        return self._page(request, "again.html", study=self._revisions(request)[-1], how=how, asked=ASKS[how])

    def open(self, request: Request) -> Response:
        """Lead from another system's link to a study: by Study Instance UID, or by accession number."""
        uid, accession = (request.query_params.get(name, "").strip() for name in ("study", "accession"))
        if bool(uid) == bool(accession):
            raise HTTPException(400, "name a study by study=UID or by accession=NUMBER")
        if accession:
            found = self._studies.search(StudySearch(search_words(accession)), _MOST_FOUND).studies
            uids = {one.study_instance_uid for one in found if one.accession_number == accession}
            if len(uids) > 1:  # one order, several studies: a person chooses
                return RedirectResponse(f"/?q={quote(accession)}", 303)
            uid = next(iter(uids), "")
        if not uid or not self._studies.revisions(uid):
            raise HTTPException(404, "this study is not in the ledger")
        return RedirectResponse(f"/studies/{quote(uid)}", 303)

    def _revisions(self, request: Request) -> list[StudyRecord]:
        uid = request.path_params["uid"]
        revisions = self._studies.revisions(uid)
        if not revisions:
            raise HTTPException(404, f"no study {uid} is in the ledger")
        return revisions

    def _revision(self, request: Request) -> StudyRecord:
        wanted = request.path_params["revision"]
        for revision in self._revisions(request):
            if revision.revision == wanted:
                return revision
        raise HTTPException(404, "there is no such revision")

    def _image(self, request: Request) -> ImageSummary:
        """Return the summary of the image that a path names, once it is told that it is shown."""
        revision, index = self._revision(request), int(request.path_params["index"])
        summary = read_summary(revision.summary_json)
        if summary is None or not 0 <= index < len(summary.images):
            raise HTTPException(404, "there is no such image")
        self._seen.shown(request, revision)
        return summary.images[index]

    def _content(self, spool_key: str | None, without: str) -> bytes:
        if spool_key is None:
            raise HTTPException(404, without)
        try:
            with self._spool.local_path(spool_key) as path:
                return path.read_bytes()
        except FileNotFoundError as error:
            raise HTTPException(404, "it is no longer in the spool") from error


def _images(instances: list[InstanceRecord]) -> dict[str, InstanceRecord]:
    """Return a study's images by SOP Instance UID; of one that came again, the last."""
    return {one.instance.header.sop_instance_uid: one for one in instances if not one.own_result}


def _attached(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


__all__ = ["StudyPages", "ViewerLink"]
