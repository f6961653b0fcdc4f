"""Emergency access: taken with a reason, for a time, where everybody sees it."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.web.access import Form
from patchclip_node.web.people import Access, RenderPage, own_path

SHORTEST_REASON: Final = 10
LONGEST_REASON: Final = 500


class Emergencies:
    """The handlers of emergency access."""

    def __init__(self, access: Access, page: RenderPage) -> None:
        self._desk = access.desk
        self._page = page

    def page(self, request: Request) -> Response:
        """Show what emergency access is, and ask for the reason."""
        return self._form(request, own_path(request.query_params.get("next", "/")))

    def begin(self, request: Request, form: Form) -> Response:
        """Give this session emergency access."""
        target, reason = own_path(form.get("next", "/")), " ".join(form.get("reason", "").split())
        if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            problem = f"Give a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters: it is recorded."
            return self._form(request, target, problem, 400)
        self._lasts_s()
        self._desk.break_glass(request.state.visitor.session, reason)
        return RedirectResponse(target, 303)

    def end(self, request: Request, form: Form) -> Response:  # noqa: ARG002 - a form's handler
        """Take emergency access from this session again."""
        if request.state.visitor.session.emergency is not None:
            self._desk.end_emergency(request.state.visitor.session)
        return RedirectResponse("/", 303)

    def _form(self, request: Request, target: str, problem: str = "", status_code: int = 200) -> Response:
        minutes = round(self._lasts_s() / 60)
        return self._page(
            request,
            "emergency.html",
            status_code,
            next=target,
            problem=problem,
            minutes=minutes,
            longest=LONGEST_REASON,
        )

    def _lasts_s(self) -> float:
        lasts_s = self._desk.policy.emergency_s
        if lasts_s is None:
            raise HTTPException(404, "this node gives no emergency access (web.emergency_s)")
        return lasts_s


__all__ = ["Emergencies"]
