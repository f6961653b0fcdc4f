"""What a node claims, as data: each value is read where the node itself reads it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from pydicom.charset import python_encoding
from pydicom.sr.coding import Code
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, build_context

from patchclip_core.values.definitions import load_findings
from patchclip_node.audit import codes as audit_codes
from patchclip_node.audit.values import Code as AuditCode
from patchclip_node.conformance.limits import Limit, limits_of
from patchclip_node.dicom import codes, statuses
from patchclip_node.dicom.commitment import FAILURE_REASONS
from patchclip_node.dicom.storage import READERS_SOP_CLASSES, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.dicom.tls import SUITES
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.variants import NoteKind, ResultKind
from patchclip_node.product import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MANUFACTURER,
    PRODUCT_NAME,
    PRODUCT_VERSION,
)
from patchclip_node.results.build import BUILDERS
from patchclip_node.scp.contexts import supported_contexts
from patchclip_node.scp.responses import ANSWERED
from patchclip_node.scu.archive import MOVE_CONTEXT
from patchclip_node.scu.commitment import COMMITMENT_CONTEXT
from patchclip_node.scu.confirmation import QUERY_CONTEXT
from patchclip_node.scu.contexts import UNCOMPRESSED, VERIFICATION_CONTEXT
from patchclip_node.scu.get import GET_CONTEXT
from patchclip_node.scu.statuses import Answer, answer, meaning
from patchclip_node.settings import NodeSettings

_ATTRIBUTES: Final = "attributes.csv"


@dataclass(frozen=True, slots=True)
class ContextClaim:
    """A SOP class in a role, with the transfer syntaxes that are negotiated for it; `condition` says when, if ever."""

    service: str
    sop_class_uid: str
    sop_class_name: str
    role: str
    transfer_syntaxes: tuple[str, ...]
    condition: str = ""


@dataclass(frozen=True, slots=True)
class StatusClaim:
    """A status that the node answers, or what it does on one that it is answered."""

    service: str
    status: int
    words: str


@dataclass(frozen=True, slots=True)
class ResultClaim:
    """A kind of object that the node makes."""

    kind: str
    sop_class_uid: str
    sop_class_name: str
    modality: str


@dataclass(frozen=True, slots=True)
class AttributeClaim:
    """An attribute of the data sets of a kind. presence: ALWAYS, or ANAP where it depends on the image or the study.

    source: IMAGE copies it, FIXED says `value`, and AUTO makes it.
    """

    kind: str
    tag: str
    vr: str
    keyword: str
    presence: str
    source: str
    value: str


@dataclass(frozen=True, slots=True)
class CodeClaim:
    """A code that results or audit messages use. used: by what."""

    used: str
    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class DestinationClaim:
    """A destination of this configuration: what it is proposed."""

    name: str
    ae_title: str
    host: str
    port: int
    secured: bool
    sop_classes: tuple[str, ...]
    confirm: str


@dataclass(frozen=True, slots=True)
class Claims:
    """All that the statement says in tables. accepted: as acceptor of associations; proposed: as initiator."""

    manufacturer: str
    product: str
    version: str
    implementation_class_uid: str
    implementation_version_name: str
    ae_title: str
    host: str
    port: int
    accepts_any_called_ae_title: bool
    calling_ae_titles: tuple[str, ...]
    allowed_networks: tuple[str, ...]
    tls_profile: str
    cipher_suites: Mapping[str, tuple[str, ...]]
    accepted: tuple[ContextClaim, ...]
    proposed: tuple[ContextClaim, ...]
    answered: tuple[StatusClaim, ...]
    heard: tuple[StatusClaim, ...]
    failure_reasons: tuple[StatusClaim, ...]
    limits: tuple[Limit, ...]
    results: tuple[ResultClaim, ...]
    attributes: tuple[AttributeClaim, ...]
    codes: tuple[CodeClaim, ...]
    character_sets: tuple[str, ...]
    destinations: tuple[DestinationClaim, ...]
    web_address: str
    audit_collector: str

    def limit(self, key: str) -> Limit:
        """Return a limit by its key. Raises `KeyError`."""
        return {one.key: one for one in self.limits}[key]


def claims_of(settings: NodeSettings) -> Claims:
    """Return what a node with these settings claims. Raises `ConfigurationError` where its findings cannot be read."""
    collector = settings.audit.collector
    return Claims(
        manufacturer=MANUFACTURER,
        product=PRODUCT_NAME,
        version=PRODUCT_VERSION,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        accepts_any_called_ae_title=settings.accept_any_called_ae_title,
        calling_ae_titles=settings.calling_ae_titles,
        allowed_networks=tuple(map(str, settings.allowed_networks)),
        tls_profile="" if settings.tls is None else settings.tls.profile.value,
        cipher_suites={profile.value: suites for profile, suites in SUITES.items()},
        accepted=tuple(_accepted()),
        proposed=tuple(_proposed(forwards=settings.forward)),
        answered=tuple(
            StatusClaim(service, status, words) for service, of in ANSWERED.items() for status, words in of.items()
        ),
        heard=tuple(_heard()),
        failure_reasons=tuple(StatusClaim("Failure Reason", *item) for item in sorted(FAILURE_REASONS.items())),
        limits=limits_of(settings),
        results=() if settings.forward else tuple(_results()),
        attributes=tuple(_attributes()),
        codes=tuple(_codes(settings)),
        character_sets=tuple(dict.fromkeys(term for term in python_encoding if term)),
        destinations=tuple(_destinations(settings)),
        web_address=f"{settings.web.host}:{settings.web.port}",
        audit_collector="" if collector is None else f"{collector.host}:{collector.port}",
    )


def _context(service: str, context: PresentationContext, role: str, condition: str = "") -> ContextClaim:
    uid = UID(str(context.abstract_syntax))
    return ContextClaim(service, str(uid), uid.name, role, tuple(map(str, context.transfer_syntax or ())), condition)


_NAMES: Final = STORAGE_SOP_CLASSES | READERS_SOP_CLASSES
_OF_READERS: Final = "of studies that are here"
_COMMITTED: Final = "for callers that `known_callers` lists with a port"


def _accepted() -> Iterator[ContextClaim]:
    for context in supported_contexts(commitment=True):
        uid = str(context.abstract_syntax)
        if uid in _NAMES:
            yield _context("Storage", context, "SCP", _OF_READERS if uid in READERS_SOP_CLASSES else "")
        elif uid == VERIFICATION_CONTEXT.abstract_syntax:
            yield _context("Verification", context, "SCP")
        else:
            yield _context("Storage Commitment", context, "SCP", _COMMITTED)
            yield _context("Storage Commitment", context, "SCU", "reports of destinations, by SCP/SCU role selection")


def _proposed(*, forwards: bool) -> Iterator[ContextClaim]:
    yield _context("Verification", VERIFICATION_CONTEXT, "SCU", "when `patchclip-node doctor` asks")
    if forwards:
        for uid in STORAGE_SOP_CLASSES:
            yield _context("Storage", build_context(uid, list(TRANSFER_SYNTAXES)), "SCU", _AS_IT_CAME)
    else:
        for uid in dict.fromkeys(str(builder.sop_class_uid) for builder in BUILDERS.values()):
            yield _context("Storage", build_context(uid, list(UNCOMPRESSED)), "SCU")
    yield _context("Storage Commitment", COMMITMENT_CONTEXT, "SCU", f"where a destination says `confirm: {_COMMIT}`")
    yield _context("Storage Commitment", COMMITMENT_CONTEXT, "SCP", "reports to callers, by SCP/SCU role selection")
    asks = f"where a destination says `confirm: {_QUERY}`, and for `backfill`"
    yield _context("Query/Retrieve", QUERY_CONTEXT, "SCU", asks)
    yield _context("Query/Retrieve", MOVE_CONTEXT, "SCU", "for `backfill` with `by: move`")
    yield _context("Query/Retrieve", GET_CONTEXT, "SCU", _BY_GET)
    for uid in STORAGE_SOP_CLASSES:
        yield _context("Storage", build_context(uid, list(TRANSFER_SYNTAXES)), "SCP", _BY_GET)


_AS_IT_CAME: Final = "each image in the one transfer syntax that it came in"
_BY_GET: Final = "for `backfill` with `by: get`"
_COMMIT: Final = Confirmation.COMMITMENT.value
_QUERY: Final = Confirmation.QUERY.value

_DEEDS: Final = {
    Answer.STORED: "the object counts as stored",
    Answer.TRY_AGAIN: "the object is sent again, until `retry.deliver_for_s` is over",
    Answer.REFUSED: "the object has failed there; it is not sent again by itself",
    Answer.CONFLICT: "the object waits for a person",
}
_WITHOUT_WORDS: Final = {statuses.SUCCESS: "success", statuses.DUPLICATE_SOP_INSTANCE: "duplicate SOP instance"}


def _heard() -> Iterator[StatusClaim]:
    """Yield what the sender makes of each status that has a name here, of those of other vendors and of an unknown."""
    known = {value for name, value in vars(statuses).items() if name.isupper() and isinstance(value, int)}
    for status in sorted(known | {0xB000, 0xB006, 0xB007}):
        said = "warning" if statuses.is_warning(status) else _WITHOUT_WORDS.get(status) or meaning(status)
        yield StatusClaim("C-STORE", status, f"{said}: {_DEEDS[answer(status)]}")


def _results() -> Iterator[ResultClaim]:
    for kind, builder in BUILDERS.items():
        yield ResultClaim(kind.value, str(builder.sop_class_uid), builder.sop_class_uid.name, builder.modality)
    note = BUILDERS[ResultKind.KO]
    yield ResultClaim(NoteKind.REJECTION_NOTE.value, str(note.sop_class_uid), note.sop_class_uid.name, note.modality)


def _attributes() -> Iterator[AttributeClaim]:
    content = files("patchclip_node.conformance").joinpath(_ATTRIBUTES).read_text(encoding="utf-8")
    for row in csv.DictReader(content.splitlines()):
        yield AttributeClaim(**row)


def _codes(settings: NodeSettings) -> Iterator[CodeClaim]:
    seen: dict[CodeClaim, None] = {}
    for name, value in vars(codes).items():
        if not name.isupper():
            continue
        for code in _each(value):
            seen[CodeClaim("results", code.value, code.scheme_designator, code.meaning)] = None
    for definition in load_findings(settings.findings_file).values():
        for each in (definition.code, definition.site):
            seen[CodeClaim("findings", each.value, each.scheme, each.meaning)] = None
    for name, value in vars(audit_codes).items():
        if name.isupper() and isinstance(value, AuditCode):
            seen[CodeClaim("audit", value.value, value.scheme, value.meaning)] = None
    yield from seen


def _each(value: Any) -> Iterable[Code]:
    if isinstance(value, Code):
        return [value]
    return [one for one in value.values() if isinstance(one, Code)] if isinstance(value, dict) else []


def _destinations(settings: NodeSettings) -> Iterator[DestinationClaim]:
    for one in settings.destinations:
        if settings.forward:
            place = (one.name, one.ae_title, one.host, one.port, one.tls is not None)
            yield DestinationClaim(*place, tuple(STORAGE_SOP_CLASSES), one.confirm.value)
            continue
        kinds = [variant.kind for variant in settings.variants_for(one)]
        if settings.profile(one.profile).fallback:
            kinds.append(ResultKind.SC)
        classes = dict.fromkeys(str(BUILDERS[kind].sop_class_uid) for kind in kinds)
        yield DestinationClaim(
            one.name, one.ae_title, one.host, one.port, one.tls is not None, tuple(classes), one.confirm.value
        )
