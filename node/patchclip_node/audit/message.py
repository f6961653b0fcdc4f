"""The audit message of an event: XML by the schema of PS3.15 A.5.1, on one line."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC
from ipaddress import ip_address
from typing import Final
from xml.etree import ElementTree as ET

from patchclip_node.audit import codes
from patchclip_node.audit.values import Actor, ActorKind, AuditEvent, AuditObject, AuditSource, Code
from patchclip_node.product import PRODUCT_NAME

LONGEST_TEXT: Final = 1024
"""Characters of a description, a detail or a query: messages stay below the 32,768 octets that receivers take (A.6)."""

MOST_DETAILS: Final = 40
MOST_ACTORS: Final = 20

UNKNOWN: Final = "unknown"
"""What stands where the standard asks for a name or an identifier that is not known."""

_APPLICATION_SERVER: Final = "4"
"""Audit Source Type Code, A.5.1.2.1."""
_HOST_NAME, _IP_ADDRESS = "1", "2"
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def build_message(event: AuditEvent, source: AuditSource) -> str:
    """Return the XML of an AuditMessage, without a declaration and without a line break."""
    root = ET.Element("AuditMessage")
    identification = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action.value,
        EventDateTime=event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(event.outcome.value),
    )
    _coded(identification, "EventID", event.id)
    if event.type is not None:
        _coded(identification, "EventTypeCode", event.type)
    if event.description:
        ET.SubElement(identification, "EventOutcomeDescription").text = _clean(event.description)
    for actor in event.actors[:MOST_ACTORS]:
        _add_actor(root, actor, source)
    teller = {"AuditSourceID": _clean(f"{source.ae_title}@{source.host}")}
    if source.site:
        teller["AuditEnterpriseSiteID"] = _clean(source.site)
    told_by = ET.SubElement(root, "AuditSourceIdentification", teller)
    ET.SubElement(told_by, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for one in event.objects:
        _add_object(root, one)
    return ET.tostring(root, encoding="unicode")


def _add_actor(root: ET.Element, actor: Actor, source: AuditSource) -> None:
    is_here = actor.kind is ActorKind.NODE or (actor.kind is ActorKind.PERSON and not actor.address)
    address = source.host if is_here else actor.address
    values = {"UserID": _user_id(actor, source), "UserIsRequestor": "true" if actor.is_requestor else "false"}
    title = source.ae_title if actor.kind is ActorKind.NODE else actor.ae_title
    if title:
        values["AlternativeUserID"] = f"AETITLES={_clean(title)}"
    if actor.kind is ActorKind.NODE:
        values["UserName"] = PRODUCT_NAME
    if address:
        values["NetworkAccessPointID"] = _clean(address)
        values["NetworkAccessPointTypeCode"] = _IP_ADDRESS if _is_address(address) else _HOST_NAME
    element = ET.SubElement(root, "ActiveParticipant", values)
    for role in actor.roles:
        _coded(element, "RoleIDCode", role)
    if actor.kind is ActorKind.MEDIA:
        _coded(ET.SubElement(element, "MediaIdentifier"), "MediaType", codes.MEDIA_URI)


def _user_id(actor: Actor, source: AuditSource) -> str:
    """Return who it is: process@host, login@host (A.5.2.1), or a peer's name."""
    name = _clean(actor.name) or UNKNOWN
    if actor.kind is ActorKind.NODE or (actor.kind is ActorKind.PERSON and "@" not in name):
        return f"{name}@{source.host}"
    return name


def _add_object(root: ET.Element, one: AuditObject) -> None:
    values = {
        "ParticipantObjectID": _clean(one.id) or UNKNOWN,
        "ParticipantObjectTypeCode": str(one.type_code),
        "ParticipantObjectTypeCodeRole": str(one.role),
    }
    if one.life_cycle:
        values["ParticipantObjectDataLifeCycle"] = one.life_cycle
    element = ET.SubElement(root, "ParticipantObjectIdentification", values)
    _coded(element, "ParticipantObjectIDTypeCode", one.id_type)
    if one.query is None:
        ET.SubElement(element, "ParticipantObjectName").text = _clean(one.name) or UNKNOWN
    else:
        ET.SubElement(element, "ParticipantObjectQuery").text = _base64(one.query)
    for kind, value in one.details[:MOST_DETAILS]:
        ET.SubElement(element, "ParticipantObjectDetail", type=_clean(kind), value=_base64(value))
    _describe(element, one.accession_number, one.sop_classes)


def _describe(element: ET.Element, accession_number: str, sop_classes: Sequence[tuple[str, int]]) -> None:
    """Say what is in a study. An accession number without a SOP class is against table A.5.2-1."""
    if not sop_classes:
        return
    described = ET.SubElement(element, "ParticipantObjectDescription")
    if number := _clean(accession_number):
        ET.SubElement(described, "Accession", Number=number)
    for uid, count in sop_classes:
        ET.SubElement(described, "SOPClass", UID=_clean(uid), NumberOfInstances=str(count))


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    values = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    ET.SubElement(parent, name, values)


def _clean(text: str) -> str:
    """Return text that XML can hold, on one line, of at most `LONGEST_TEXT` characters."""
    return " ".join(_NOT_XML.sub("\ufffd", text).split())[:LONGEST_TEXT]


def _base64(text: str) -> str:
    return base64.b64encode(text[:LONGEST_TEXT].encode("utf-8", "replace")).decode()


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
