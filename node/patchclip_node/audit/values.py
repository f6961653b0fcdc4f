"""What an audited event is made of: who did what to what, when, and whether it succeeded. Words of PS3.15 A.5."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: `csd-code`, `codeSystemName` and `originalText`."""

    value: str
    scheme: str
    meaning: str


class Action(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """EventOutcomeIndicator.

    MINOR_FAILURE: it is tried again, or was refused and can be tried again. SERIOUS_FAILURE: it is given up.
    MAJOR_FAILURE: whoever did it can't go on.
    """

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


class ActorKind(StrEnum):
    """NODE: a process of this node. PERSON: who has a login name. PEER: another system. MEDIA: what is written to."""

    NODE = "node"
    PERSON = "person"
    PEER = "peer"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Actor:
    """An ActiveParticipant.

    name: of a process as logs name it, the login name of a person, a peer's name, the address of a medium. roles: what
    it does in the event. address: an IP address or a host's name, '' where it is not known.
    """

    kind: ActorKind
    name: str
    is_requestor: bool = False
    roles: tuple[Code, ...] = ()
    ae_title: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class AuditObject:
    """A ParticipantObjectIdentification.

    type_code, role: PS3.15 A.5.1.2. name, query: one of both is told, the query where it is not None. details: pairs of
    a type and a value. sop_classes: pairs of a SOP Class UID and how many instances there are of it. life_cycle: ''
    where nothing is said of it.
    """

    id: str
    id_type: Code
    type_code: int
    role: int
    name: str
    query: str | None = None
    details: tuple[tuple[str, str], ...] = ()
    accession_number: str = ""
    sop_classes: tuple[tuple[str, int], ...] = ()
    life_cycle: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. at: timezone-aware UTC. description: why it failed, '' for a success.

    key: tells it from all others, however often it is sent.
    """

    id: Code
    at: datetime
    action: Action
    actors: tuple[Actor, ...]
    objects: tuple[AuditObject, ...] = ()
    type: Code | None = None
    outcome: Outcome = Outcome.SUCCESS
    description: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event in the outbox. sequence: counts the events of a ledger from 1, without a gap."""

    sequence: int
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class AuditSource:
    """Who tells: an AuditSourceIdentification. site: AuditEnterpriseSiteID, '' for none. host: this machine's name."""

    ae_title: str
    host: str
    site: str = ""
