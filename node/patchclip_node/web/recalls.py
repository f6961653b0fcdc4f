"""Recalling the results of a study on the pages: a form, a page that asks whether it is meant, and the deed."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.domain.recalls import LONGEST_WORDS, RecallReason, RecallRequest, RecallScope
from patchclip_node.ports.ledger import Studies
from patchclip_node.services.recall import RecallService
from patchclip_node.web.access import Form
from patchclip_node.web.people import RenderPage

REASONS: Final = {
    RecallReason.QUALITY: "of poor quality: an archive hides them, unless it is set up to show such objects",
    RecallReason.SAFETY: "a danger to the patient: an archive hides them",
    RecallReason.WORKLIST: "made under the wrong order or patient: an archive hides them",
    RecallReason.RETENTION: "not kept any longer: an archive may delete them",
}


class RecallPages:
    """The handlers."""

    def __init__(self, service: RecallService, studies: Studies, page: RenderPage) -> None:
        self._service = service
        self._studies = studies
        self._page = page

    def form(self, request: Request) -> Response:
        """Show what would be recalled, and ask why."""
        return self._ask(request, {})

    def submit(self, request: Request, form: Form) -> Response:
        """Ask whether it is meant; once that is said of just these results, recall them."""
        wanted = self._wanted(request, form)
        if isinstance(wanted, str):
            return self._ask(request, form, wanted, status_code=400)
        extent = self._service.extent(wanted.scope, wanted.subject)
        if not extent.results:
            raise HTTPException(409, "there is nothing to recall: no results, or all of them are recalled already")
        if form.get("confirmed") != str(len(extent.results)):
            uid = request.path_params["uid"]
            return self._page(request, "recall_confirm.html", uid=uid, wanted=wanted, extent=extent)
        self._service.recall(wanted)
        return RedirectResponse(f"/studies/{quote(request.path_params['uid'])}", 303)

    def _wanted(self, request: Request, form: Form) -> RecallRequest | str:
        """Return what a form asks for, or what is wrong with it."""
        image, reason = form.get("image", ""), form.get("reason", "")
        if image and image not in self._images(request):
            return "this image is not of this study"
        if reason not in set(RecallReason):
            return f"choose a reason: {', '.join(RecallReason)}"
        scope, subject = (RecallScope.IMAGE, image) if image else (RecallScope.STUDY, request.path_params["uid"])
        try:
            by = request.state.visitor.identity
            return RecallRequest(scope, subject, RecallReason(reason), form.get("words", "").strip(), by)
        except ValueError as error:
            return str(error)

    def _ask(self, request: Request, form: Form, problem: str = "", status_code: int = 200) -> Response:
        uid = request.path_params["uid"]
        images = self._images(request)
        return self._page(
            request,
            "recall.html",
            status_code,
            uid=uid,
            images=images,
            reasons=REASONS,
            longest=LONGEST_WORDS,
            extent=self._service.extent(RecallScope.STUDY, uid),
            form={name: form.get(name, "") for name in ("image", "reason", "words")},
            problem=problem,
        )

    def _images(self, request: Request) -> list[str]:
        """Return the SOP Instance UIDs of a study's images."""
        uid = request.path_params["uid"]
        if not self._studies.revisions(uid):
            raise HTTPException(404, f"no study {uid} is in the ledger")
        records = self._studies.instances(uid)
        return list(dict.fromkeys(one.instance.header.sop_instance_uid for one in records if not one.own_result))
