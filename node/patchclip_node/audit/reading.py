"""Audit messages back into values, for who reads the trail."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from patchclip_node.audit import codes


@dataclass(frozen=True, slots=True)
class ToldActor:
    """Who took part. roles: their meanings."""

    user_id: str
    is_requestor: bool
    address: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says. at: as it is written there. details: of its studies, and of the subject of an alert."""

    at: str
    event: str
    type: str
    action: str
    outcome: str
    description: str
    actors: tuple[ToldActor, ...]
    patient_ids: tuple[str, ...]
    study_uids: tuple[str, ...]
    details: Mapping[str, str]

    @property
    def who(self) -> str:
        """Who asked for it, or took part first."""
        asked = [actor for actor in self.actors if actor.is_requestor] or self.actors
        first = asked[0]
        return f"{first.user_id} ({first.address})" if first.address else first.user_id

    @property
    def is_a_success(self) -> bool:
        """Whether it came about."""
        return self.outcome == "0"


def read_message(text: str) -> Told:
    """Read an audit message of this node. Raises `ValueError` for what is not one."""
    if "<!" in text:  # a declaration of entities, which the node never writes: one could grow without end
        raise ValueError("it has a document type declaration")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without declarations nothing expands
    except ET.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error
    event = root.find("EventIdentification")
    if event is None:
        raise ValueError("it has no EventIdentification")
    objects = root.findall("ParticipantObjectIdentification")
    return Told(
        at=event.get("EventDateTime", ""),
        event=_meaning(event, "EventID"),
        type=_meaning(event, "EventTypeCode"),
        action=event.get("EventActionCode", ""),
        outcome=event.get("EventOutcomeIndicator", ""),
        description=event.findtext("EventOutcomeDescription", ""),
        actors=tuple(map(_actor, root.findall("ActiveParticipant"))),
        patient_ids=_ids(objects, codes.PATIENT_NUMBER.value),
        study_uids=_ids(objects, codes.STUDY_INSTANCE_UID.value),
        details={
            one.get("type", ""): _decoded(one.get("value", ""))
            for object_ in objects
            for one in object_.findall("ParticipantObjectDetail")
        },
    )


def _actor(element: ET.Element) -> ToldActor:
    return ToldActor(
        user_id=element.get("UserID", ""),
        is_requestor=element.get("UserIsRequestor") == "true",
        address=element.get("NetworkAccessPointID", ""),
        roles=tuple(role.get("originalText", "") for role in element.findall("RoleIDCode")),
    )


def _ids(objects: list[ET.Element], id_type: str) -> tuple[str, ...]:
    return tuple(
        one.get("ParticipantObjectID", "")
        for one in objects
        if (coded := one.find("ParticipantObjectIDTypeCode")) is not None and coded.get("csd-code") == id_type
    )


def _meaning(parent: ET.Element, name: str) -> str:
    coded = parent.find(name)
    return "" if coded is None else coded.get("originalText", "")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
