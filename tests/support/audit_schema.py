"""The rules of an audit message, as PS3.15 has them: the schema of A.5.1, and the tables of A.5.3.

Written from the standard and not from the product, which it judges.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree as ET

Rule = Callable[[str], bool]

_TOKEN = re.compile(r"\S(?: ?\S)*")


def _one_of(*values: str) -> Rule:
    return lambda text: text in values


def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def _is_text(_: str) -> bool:
    return True


def _is_moment(text: str) -> bool:
    """A.5.2.5: with its time zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))*", text) is not None


_NUMBERS = [str(number) for number in range(1, 27)]


@dataclass(frozen=True)
class _Element:
    """attributes: name -> (rule, required). children: (name, at least, at most) in their order; `one_of`: either."""

    attributes: Mapping[str, tuple[Rule, bool]] = field(default_factory=dict)
    children: tuple[tuple[str, int, int | None], ...] = ()
    text: Rule | None = None


_CODED = _Element(
    {"csd-code": (_is_token, True), "codeSystemName": (_is_token, True), "displayName": (_is_token, False)}
    | {"originalText": (_is_token, True)}
)
_NAMED = _Element(text=_is_token)
_ENCODED = _Element(text=_is_base64)

SCHEMA: Mapping[str, _Element] = {
    "AuditMessage": _Element(
        children=(
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, None),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, None),
        )
    ),
    "EventIdentification": _Element(
        {
            "EventActionCode": (_one_of("C", "R", "U", "D", "E"), False),
            "EventDateTime": (_is_moment, True),
            "EventOutcomeIndicator": (_one_of("0", "4", "8", "12"), True),
        },
        (("EventID", 1, 1), ("EventTypeCode", 0, None), ("EventOutcomeDescription", 0, 1)),
    ),
    "EventID": _CODED,
    "EventTypeCode": _CODED,
    "EventOutcomeDescription": _Element(text=_is_text),
    "ActiveParticipant": _Element(
        {
            "UserID": (_is_text, True),
            "AlternativeUserID": (_is_text, False),
            "UserName": (_is_text, False),
            "UserIsRequestor": (_one_of("true", "false", "1", "0"), True),
            "NetworkAccessPointID": (_is_token, False),
            "NetworkAccessPointTypeCode": (_one_of("1", "2", "3", "4", "5"), False),
        },
        (("RoleIDCode", 0, None), ("MediaIdentifier", 0, 1)),
    ),
    "RoleIDCode": _CODED,
    "MediaIdentifier": _Element(children=(("MediaType", 1, 1),)),
    "MediaType": _CODED,
    "AuditSourceIdentification": _Element(
        {"AuditEnterpriseSiteID": (_is_token, False), "AuditSourceID": (_is_token, True)},
        (("AuditSourceTypeCode", 0, None),),
    ),
    "AuditSourceTypeCode": _Element(
        {"csd-code": (_is_token, True), "codeSystemName": (_is_token, False)}
        | {"displayName": (_is_token, False), "originalText": (_is_token, False)}
    ),
    "ParticipantObjectIdentification": _Element(
        {
            "ParticipantObjectID": (_is_token, True),
            "ParticipantObjectTypeCode": (_one_of("1", "2", "3", "4"), False),
            "ParticipantObjectTypeCodeRole": (_one_of(*_NUMBERS), False),
            "ParticipantObjectDataLifeCycle": (_one_of(*_NUMBERS[:15]), False),
            "ParticipantObjectSensitivity": (_is_token, False),
        },
        (
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName|ParticipantObjectQuery", 1, 1),
            ("ParticipantObjectDetail", 0, None),
            ("ParticipantObjectDescription", 0, None),
        ),
    ),
    "ParticipantObjectIDTypeCode": _CODED,
    "ParticipantObjectName": _NAMED,
    "ParticipantObjectQuery": _ENCODED,
    "ParticipantObjectDetail": _Element({"type": (_is_token, True), "value": (_is_base64, True)}),
    "ParticipantObjectDescription": _Element(
        children=(
            ("MPPS", 0, None),
            ("Accession", 0, None),
            ("SOPClass", 0, None),
            ("ParticipantObjectContainsStudy", 0, 1),
            ("Encrypted", 0, 1),
            ("Anonymized", 0, 1),
        )
    ),
    "Accession": _Element({"Number": (_is_token, True)}),
    "SOPClass": _Element({"UID": (_is_uid, False), "NumberOfInstances": (str.isdigit, True)}, (("Instance", 0, None),)),
}


def problems(message: str) -> list[str]:
    """Return what is against PS3.15 in an audit message; empty where nothing is."""
    try:
        root = ET.fromstring(message)
    except ET.ParseError as error:
        return [f"not XML: {error}"]
    if root.tag != "AuditMessage":
        return [f"the root is {root.tag}"]
    found = list(_against_schema(root))
    return found or list(_against_tables(root))


def _against_schema(element: ET.Element) -> Iterator[str]:
    known = SCHEMA.get(element.tag)
    if known is None:
        yield f"{element.tag} is not in the schema"
        return
    for name, value in element.attrib.items():
        if name not in known.attributes:
            yield f"{element.tag} has no attribute {name}"
        elif not known.attributes[name][0](value):
            yield f"{element.tag}: {name}={value!r}"
    for name, (_, required) in known.attributes.items():
        if required and name not in element.attrib:
            yield f"{element.tag} lacks {name}"
    if known.text is not None and not known.text(element.text or ""):
        yield f"{element.tag}: {element.text!r}"
    if known.text is None and (element.text or "").strip():
        yield f"{element.tag} holds text"
    yield from _against_order(element, known)
    for child in element:
        yield from _against_schema(child)


def _against_order(element: ET.Element, known: _Element) -> Iterator[str]:
    tags = [child.tag for child in element]
    position = 0
    for names, least, most in known.children:
        count = 0
        while position < len(tags) and tags[position] in names.split("|"):
            position, count = position + 1, count + 1
        if count < least or (most is not None and count > most):
            yield f"{element.tag} has {count} of {names}"
    if position < len(tags):
        yield f"{element.tag}: {tags[position]} is out of its place"


@dataclass(frozen=True)
class _Table:
    """A table of A.5.3. roles: codes of which one participant each has one. objects: (type, role, id) -> how many."""

    actions: str
    types: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    participants: tuple[int, int | None] = (1, None)
    objects: Mapping[tuple[str, str, str], tuple[int, int | None]] = field(default_factory=dict)


_STUDY, _PATIENT = ("2", "3", "110180"), ("1", "1", "2")
_ONE_PATIENT = {_STUDY: (1, None), _PATIENT: (1, 1)}
_ALERTS = frozenset(str(code) for code in range(110126, 110143))

TABLES: Mapping[str, _Table] = {
    "110100": _Table("E", frozenset({"110120", "110121"}), ("110150",)),
    "110101": _Table("R", participants=(1, 2), objects={("2", "13", "12"): (1, 1)}),
    "110102": _Table("E", roles=("110153", "110152"), objects=_ONE_PATIENT),
    "110103": _Table("CRUD", participants=(1, 2), objects=_ONE_PATIENT),
    "110104": _Table("CRU", roles=("110153", "110152"), objects=_ONE_PATIENT),
    "110105": _Table("D", participants=(1, 2), objects=_ONE_PATIENT),
    "110106": _Table("R", roles=("110153", "110154"), objects={_STUDY: (0, None), _PATIENT: (1, None)}),
    "110112": _Table("E", roles=("110153", "110152"), objects={("2", "3", "110181"): (1, 1)}),
    "110113": _Table("E", _ALERTS, objects={}),
    "110114": _Table("E", frozenset({"110122", "110123"})),
}


def _against_tables(root: ET.Element) -> Iterator[str]:
    event = root.find("EventIdentification")
    assert event is not None
    code = _code(event, "EventID")
    table = TABLES.get(code)
    if table is None:
        yield f"no table of A.5.3 for event {code}"
        return
    if event.get("EventActionCode") not in list(table.actions):
        yield f"{code}: action {event.get('EventActionCode')}"
    types = {one.get("csd-code") for one in event.findall("EventTypeCode")}
    if table.types and not (types and types <= table.types):
        yield f"{code}: types {types}"
    participants = root.findall("ActiveParticipant")
    least, most = table.participants
    if len(participants) < least or (most is not None and len(participants) > most):
        yield f"{code}: {len(participants)} participants"
    if sum(one.get("UserIsRequestor") == "true" for one in participants) > 1:
        yield f"{code}: more than one requestor"
    roles = [one.get("csd-code") for participant in participants for one in participant.findall("RoleIDCode")]
    yield from (
        f"{code}: no participant or several have the role {role}" for role in table.roles if roles.count(role) != 1
    )
    for participant in participants:
        if ("NetworkAccessPointID" in participant.attrib) != ("NetworkAccessPointTypeCode" in participant.attrib):
            yield f"{code}: an access point without its type, or the reverse"
    if code == "110114" and "NetworkAccessPointID" not in participants[0].attrib:
        yield f"{code}: it is not said where the person is"
    if code == "110113" and any(one.get("UserIsRequestor") == "true" for one in participants[1:]):
        yield f"{code}: who performed it is said to have asked for it"
    yield from _against_objects(root, code, table)


def _against_objects(root: ET.Element, code: str, table: _Table) -> Iterator[str]:
    objects = root.findall("ParticipantObjectIdentification")
    kinds = [
        (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole"), _code(one, _ID_TYPE))
        for one in objects
    ]
    for kind, (least, most) in table.objects.items():
        count = kinds.count(kind)
        if count < least or (most is not None and count > most):
            yield f"{code}: {count} objects {kind}"
    if table.objects and not set(kinds) <= set(table.objects):
        yield f"{code}: objects {set(kinds) - set(table.objects)}"
    if code in {"110100", "110114"} and objects:
        yield f"{code}: it has objects"
    for one in objects:
        described = one.find("ParticipantObjectDescription")
        if described is not None and _code(one, _ID_TYPE) == "110180" and described.find("SOPClass") is None:
            yield f"{code}: a described study without SOPClass (table A.5.2-1)"
    if code == "110112" and any(one.find("ParticipantObjectQuery") is None for one in objects):
        yield f"{code}: no query"
    if code == "110113":
        details = [one.get("type") for object_ in objects for one in object_.findall("ParticipantObjectDetail")]
        if objects and "Alert Description" not in details:
            yield f"{code}: no Alert Description"


_ID_TYPE = "ParticipantObjectIDTypeCode"


def _code(element: ET.Element, name: str) -> str:
    coded = element.find(name)
    return "" if coded is None else str(coded.get("csd-code"))
