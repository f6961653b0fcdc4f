"""The events of a node, each as PS3.15 A.5.3 describes it. docs/audit.md has them in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from patchclip_node.audit import codes
from patchclip_node.audit.values import Action, Actor, ActorKind, AuditEvent, AuditObject, Code, Outcome
from patchclip_node.domain.records import StudyRecord

RECEIVE, WORK, DELIVER, WEB, CLI = "receive", "work", "deliver", "web", "cli"
"""Processes of a node, as logs name them."""

_PERSON, _SYSTEM_OBJECT = 1, 2
"""ParticipantObjectTypeCode."""
_PATIENT, _REPORT, _SECURITY_RESOURCE, _USER = 1, 3, 13, 6
"""ParticipantObjectTypeCodeRole."""

_IMPORT, _DERIVATION, _EXPORT, _ERASURE = "2", "8", "10", "15"
"""ParticipantObjectDataLifeCycle."""

LINK: Final = "study"
"""Type of the detail that names the study which an alert is about."""

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""What a search on the pages is told as: Study Root Query/Retrieve - FIND."""


def node(process: str, *roles: Code, is_requestor: bool = False) -> Actor:
    """Return a process of this node as an actor."""
    return Actor(ActorKind.NODE, process, is_requestor, roles)


def person(name: str, address: str = "", *, is_requestor: bool = True) -> Actor:
    """Return who is logged in, or works at a shell, as an actor."""
    return Actor(ActorKind.PERSON, name, is_requestor, (), "", address)


def peer(name: str, address: str, *roles: Code, ae_title: str = "", is_requestor: bool = False) -> Actor:
    """Return another system as an actor."""
    return Actor(ActorKind.PEER, name, is_requestor, roles, ae_title, address)


def destination(name: str, ae_title: str = "", host: str = "") -> Actor:
    """Return whom results are sent to as an actor."""
    return peer(name, host, codes.DESTINATION_ROLE, ae_title=ae_title)


def study_object(
    study: StudyRecord,
    sop_class_uids: Iterable[str] = (),
    details: Sequence[tuple[str, str]] = (),
    life_cycle: str = "",
) -> AuditObject:
    """Return a study as an object; `sop_class_uids`: of each of the instances that the event is about."""
    return AuditObject(
        id=study.study_instance_uid,
        id_type=codes.STUDY_INSTANCE_UID,
        type_code=_SYSTEM_OBJECT,
        role=_REPORT,
        name=study.study_description,
        details=(("revision", str(study.revision)), *details),
        accession_number=study.accession_number,
        sop_classes=tuple(sorted(Counter(sop_class_uids).items())),
        life_cycle=life_cycle,
    )


def patient_object(patient_id: str, patient_name: str = "") -> AuditObject:
    """Return a patient as an object."""
    return AuditObject(
        id=patient_id,
        id_type=codes.PATIENT_NUMBER,
        type_code=_PERSON,
        role=_PATIENT,
        name=patient_name.replace("^", " ").replace("=", " ").strip(),
    )


def _patient_of(study: StudyRecord) -> AuditObject:
    return patient_object(study.patient_id, study.patient_name)


def application_started(process: str, at: datetime) -> AuditEvent:
    """A process of the node begins its work (A.5.3.1)."""
    actor = node(process, codes.APPLICATION)
    return AuditEvent(codes.APPLICATION_ACTIVITY, at, Action.EXECUTE, (actor,), type=codes.APPLICATION_START)


def application_stopped(process: str, at: datetime) -> AuditEvent:
    """A process of the node ends in order (A.5.3.1)."""
    return replace(application_started(process, at), type=codes.APPLICATION_STOP)


def received(study: StudyRecord, ae_title: str, address: str, sop_class_uids: Sequence[str]) -> AuditEvent:
    """All that one sender has sent for a revision of a study is here (A.5.3.7)."""
    return AuditEvent(
        codes.INSTANCES_TRANSFERRED,
        study.last_received_at,
        Action.CREATE,
        _from_sender(ae_title, address),
        (study_object(study, sop_class_uids, life_cycle=_IMPORT), _patient_of(study)),
    )


def not_kept(
    ae_title: str, address: str, at: datetime, sop_classes: Mapping[str, int], reasons: Sequence[str] = ()
) -> AuditEvent:
    """Instances came over an association of which nothing was kept (A.5.3.7).

    sop_classes: SOP Class UID -> how many. reasons: why they were refused; without one they were known already: "R",
    the receiver holds copies. Whose they are is not read of what is not kept.
    """
    unknown = AuditObject(
        id="",
        id_type=codes.STUDY_INSTANCE_UID,
        type_code=_SYSTEM_OBJECT,
        role=_REPORT,
        name="",
        details=(("reason", "; ".join(reasons) or "known already"),),
        sop_classes=tuple(sorted(sop_classes.items())),
    )
    return AuditEvent(
        codes.INSTANCES_TRANSFERRED,
        at,
        Action.CREATE if reasons else Action.READ,
        _from_sender(ae_title, address),
        (unknown, patient_object("")),
        outcome=Outcome.SERIOUS_FAILURE if reasons else Outcome.SUCCESS,
        description=f"{sum(sop_classes.values())} instances were refused: {'; '.join(reasons)}" if reasons else "",
    )


def _from_sender(ae_title: str, address: str) -> tuple[Actor, Actor]:
    sender = peer(ae_title, address, codes.SOURCE_ROLE, ae_title=ae_title, is_requestor=True)
    return sender, node(RECEIVE, codes.DESTINATION_ROLE)


def analysed(
    study: StudyRecord, at: datetime, result_classes: Sequence[str], details: Sequence[tuple[str, str]]
) -> AuditEvent:
    """The node has decided, and made its results (A.5.3.6, create). details: what it decided, on which weights."""
    return AuditEvent(
        codes.INSTANCES_ACCESSED,
        at,
        Action.CREATE,
        (node(WORK, is_requestor=True),),
        (study_object(study, result_classes, details, _DERIVATION), _patient_of(study)),
    )


def not_analysed(study: StudyRecord, at: datetime, reason: str, *, failed: bool = False) -> AuditEvent:
    """The node has looked at a study and decided nothing (A.5.3.6, read): none of it is analysed, or it `failed`."""
    return AuditEvent(
        codes.INSTANCES_ACCESSED,
        at,
        Action.READ,
        (node(WORK, is_requestor=True),),
        (study_object(study, details=(("decision", "not analysed"), ("reason", reason))), _patient_of(study)),
        outcome=Outcome.SERIOUS_FAILURE if failed else Outcome.SUCCESS,
        description=reason if failed else "",
    )


def begins_sending(study: StudyRecord, at: datetime, to: Actor, sop_class_uids: Sequence[str]) -> AuditEvent:
    """Results are about to go to a destination (A.5.3.3)."""
    return AuditEvent(
        codes.BEGIN_TRANSFERRING,
        at,
        Action.EXECUTE,
        (node(DELIVER, codes.SOURCE_ROLE, is_requestor=True), to),
        (study_object(study, sop_class_uids, life_cycle=_EXPORT), _patient_of(study)),
    )


def sent(
    study: StudyRecord,
    at: datetime,
    to: Actor,
    sop_class_uids: Sequence[str],
    *,
    failed: str = "",
    tried_again: bool = False,
) -> AuditEvent:
    """Results have arrived at a destination, or have not, for the reason `failed` (A.5.3.7): one event for each."""
    failure = Outcome.MINOR_FAILURE if tried_again else Outcome.SERIOUS_FAILURE
    return AuditEvent(
        codes.INSTANCES_TRANSFERRED,
        at,
        Action.CREATE,
        (node(DELIVER, codes.SOURCE_ROLE, is_requestor=True), to),
        (study_object(study, sop_class_uids, life_cycle=_EXPORT), _patient_of(study)),
        outcome=failure if failed else Outcome.SUCCESS,
        description=failed,
    )


def opened(study: StudyRecord, at: datetime, who: Actor, process: str, what: str = "study") -> AuditEvent:
    """A person has looked at a study (A.5.3.6, read)."""
    shown = study_object(study, details=(("opened", what),))
    return AuditEvent(codes.INSTANCES_ACCESSED, at, Action.READ, (who, node(process)), (shown, _patient_of(study)))


def changed(study: StudyRecord, at: datetime, who: Actor, act: str) -> AuditEvent:
    """A person has had a study worked on again (A.5.3.6, update). act: `requeue`, `resend`, ..."""
    return AuditEvent(
        codes.INSTANCES_ACCESSED,
        at,
        Action.UPDATE,
        (who,),
        (study_object(study, details=(("act", act),)), _patient_of(study)),
    )


def deleted(study: StudyRecord, at: datetime, who: Actor) -> AuditEvent:
    """All of a study was deleted (A.5.3.8)."""
    return AuditEvent(
        codes.STUDY_DELETED,
        at,
        Action.DELETE,
        (who,),
        (study_object(study, life_cycle=_ERASURE), _patient_of(study)),
    )


def exported(at: datetime, who: Actor, medium: str, studies: Sequence[StudyRecord]) -> AuditEvent:
    """Studies were given to a person's file or program (A.5.3.4). medium: its address, or what it is."""
    whose = {study.patient_id: _patient_of(study) for study in studies}
    destination_medium = Actor(ActorKind.MEDIA, medium, roles=(codes.DESTINATION_MEDIA,))
    return AuditEvent(
        codes.EXPORT,
        at,
        Action.READ,
        (
            replace(who, roles=(*who.roles, codes.SOURCE_ROLE)),
            destination_medium,
        ),
        (*(study_object(study, life_cycle=_EXPORT) for study in studies), *whose.values()),
    )


def queried(at: datetime, who: Actor, process: str, query: str) -> AuditEvent:
    """A person has searched for studies (A.5.3.10)."""
    searched = AuditObject(
        id=STUDY_ROOT_FIND,
        id_type=codes.SOP_CLASS_UID,
        type_code=_SYSTEM_OBJECT,
        role=_REPORT,
        name="",
        query=query,
        details=(("TransferSyntax", "text"),),
    )
    return AuditEvent(
        codes.QUERY,
        at,
        Action.EXECUTE,
        (replace(who, roles=(*who.roles, codes.SOURCE_ROLE)), node(process, codes.DESTINATION_ROLE)),
        (searched,),
    )


def archive_queried(at: datetime, who: Actor, archive: Actor, query: str) -> AuditEvent:
    """An archive was queried for a person who has the node pull its studies (A.5.3.10)."""
    return replace(
        queried(at, who, CLI, query),
        actors=(
            replace(who, roles=()),
            node(CLI, codes.SOURCE_ROLE),
            replace(archive, roles=(codes.DESTINATION_ROLE,)),
        ),
    )


def logged_in(at: datetime, who: Actor, outcome: Outcome = Outcome.SUCCESS, description: str = "") -> AuditEvent:
    """A person has logged in, or was refused (A.5.3.12)."""
    return AuditEvent(
        codes.USER_AUTHENTICATION,
        at,
        Action.EXECUTE,
        (who, node(WEB)),
        type=codes.LOGIN,
        outcome=outcome,
        description=description,
    )


def logged_out(at: datetime, who: Actor, description: str = "") -> AuditEvent:
    """A person has logged out, or a session has ended by itself, for the reason in `description` (A.5.3.12)."""
    return replace(logged_in(at, who, description=description), type=codes.LOGOUT)


def trail_read(at: datetime, who: Actor, uri: str, process: str = CLI) -> AuditEvent:
    """A person has read the audit trail (A.5.3.2)."""
    trail = AuditObject(
        id=uri,
        id_type=codes.URI,
        type_code=_SYSTEM_OBJECT,
        role=_SECURITY_RESOURCE,
        name="Security Audit Log",
    )
    return AuditEvent(codes.AUDIT_LOG_USED, at, Action.READ, (who, node(process)), (trail,))


def alert(
    kind: Code,
    at: datetime,
    process: str,
    description: str,
    who: Actor | None = None,
    outcome: Outcome = Outcome.MINOR_FAILURE,
    subject: AuditObject | None = None,
    details: Sequence[tuple[str, str]] = (),
) -> AuditEvent:
    """Something that whoever guards the node should know (A.5.3.11). kind: of context group 403.

    who: did it. A minor or serious failure says that it was prevented. subject: what it is about; this node where
    nothing is named. Its details begin with what happened.
    """
    about = subject or AuditObject(
        id="patchclip-node", id_type=codes.NODE_ID, type_code=_SYSTEM_OBJECT, role=_SECURITY_RESOURCE, name="node"
    )
    told = (("Alert Description", description), *about.details, *details)
    return AuditEvent(
        codes.SECURITY_ALERT,
        at,
        Action.EXECUTE,
        (node(process), *((replace(who, is_requestor=False),) if who else ())),
        (replace(about, details=told),),
        type=kind,
        outcome=outcome,
        description=description if outcome is not Outcome.SUCCESS else "",
    )


def account_object(name: str) -> AuditObject:
    """Return an account of the pages as the subject of an alert."""
    return AuditObject(id=name, id_type=codes.USER_IDENTIFIER, type_code=_PERSON, role=_USER, name=name)
