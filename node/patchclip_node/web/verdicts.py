"""Verdicts on the study page: a form for each image, with a button for each thing that can be said of a finding."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.audit import events
from patchclip_node.domain.verdicts import Box, Opinion, Verdict, VerdictKind
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web.access import Form
from patchclip_node.web.people import address_of

BUTTONS: Final = {
    VerdictKind.ACCEPTED: "Right",
    VerdictKind.REJECTED: "Not there",
    VerdictKind.CORRECTED: "Elsewhere",
    VerdictKind.MISSED: "Missed",
}
"""What is said -> what its button says."""

WORDS: Final = {
    VerdictKind.ACCEPTED: "judged right",
    VerdictKind.REJECTED: "judged not there",
    VerdictKind.CORRECTED: "place corrected",
    VerdictKind.MISSED: "judged missed",
}
"""What was said -> how the page tells it."""


class VerdictPages:
    """The handler."""

    def __init__(self, desk: VerdictDesk) -> None:
        self._desk = desk

    def give(self, request: Request, form: Form) -> Response:
        """Keep what a person says of a finding, and show the study again."""
        uid, revision = request.path_params["uid"], form.get("revision", "")
        by = events.person(request.state.visitor.identity, address_of(request))
        try:
            opinion = _opinion(form)
            if not revision.isascii() or not revision.isdigit():
                raise ValueError("revision must be a number")
            self._desk.give(uid, int(revision), opinion, by)
        except KeyError as error:
            raise HTTPException(404, "this revision is not in the ledger, or was not analysed") from error
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return RedirectResponse(f"/studies/{quote(uid)}#revision-{revision}", 303)


def boxes_json(verdict: Verdict | None) -> str:
    """Write a verdict's boxes for the canvas: [[x, y, w, h], ...] in source pixels."""
    return json.dumps([astuple(box) for box in verdict.said.opinion.boxes] if verdict else [])


def _opinion(form: Form) -> Opinion:
    kind, _, finding = form.get("said", "").partition(":")
    if kind not in set(VerdictKind) or not finding:
        raise ValueError(f"said must be one of {', '.join(VerdictKind)}, a colon and a finding")
    return Opinion(form.get("image", ""), finding, VerdictKind(kind), _boxes(form.get("boxes", "")))


def _boxes(text: str) -> tuple[Box, ...]:
    if not text:
        return ()
    try:
        listed = json.loads(text)
        return tuple(Box(*(float(value) for value in box)) for box in listed)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("boxes must be [[x, y, w, h], ...] in pixels of the image") from error


__all__ = ["BUTTONS", "WORDS", "VerdictPages", "boxes_json"]
