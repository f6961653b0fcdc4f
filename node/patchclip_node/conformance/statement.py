"""The statement as a document: Annex N's headings, its text, and tables of the claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from pydicom.uid import UID

from patchclip_node.conformance.claims import Claims, ContextClaim
from patchclip_node.conformance.limits import Limit
from patchclip_node.dicom.storage import TRANSFER_SYNTAXES
from patchclip_node.scu.contexts import UNCOMPRESSED

EDITION: Final = "2026d"
"""Of PS3.2, whose Annex N the headings are of."""

_TEXT: Final = "statement.md.j2"


def as_markdown(claims: Claims, date: str) -> str:
    """Return the statement in Markdown. date: of the document."""
    environment = Environment(
        loader=PackageLoader("patchclip_node.conformance"),
        autoescape=False,  # noqa: S701 - Markdown, of our own values and settings
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    named = {name: partial(make, claims) for name, make in _TABLES.items()}
    return environment.get_template(_TEXT).render(claims=claims, date=date, edition=EDITION, **named)


def as_html(claims: Claims, date: str) -> str:
    """Return the statement as one HTML file."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(as_markdown(claims, date))
    environment = Environment(loader=PackageLoader("patchclip_node.conformance"), autoescape=True)
    return environment.get_template("statement.html.j2").render(claims=claims, body=body)


def as_json(claims: Claims) -> str:
    """Return the claims as data, for programs."""
    return json.dumps(asdict(claims), indent=2, ensure_ascii=False)


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(headers), ["---"] * len(headers), *([str(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(value: object) -> str:
    return f"`{value}`" if str(value) else ""


def _syntaxes_of(context: ContextClaim) -> str:
    if set(context.transfer_syntaxes) == set(TRANSFER_SYNTAXES):
        return "all of the table of transfer syntaxes"
    return ", ".join(UID(uid).name for uid in context.transfer_syntaxes)


def _services(claims: Claims, service: str) -> str:
    """Return the overview's table of one DIMSE service: who is SCU and SCP of its SOP classes."""
    rows: dict[tuple[str, str], set[str]] = {}
    for one in (*claims.accepted, *claims.proposed):
        if one.service == service:
            rows.setdefault((one.sop_class_name, one.sop_class_uid), set()).add(one.role)
    return _table(
        ["SOP class", "UID", "SCU", "SCP"],
        [
            [name, _code(uid), "Y" if "SCU" in roles else "N", "Y" if "SCP" in roles else "N"]
            for (name, uid), roles in rows.items()
        ],
    )


def _contexts(contexts: Iterable[ContextClaim]) -> str:
    return _table(
        ["SOP class", "UID", "role of the node", "transfer syntaxes", "when"],
        [
            [one.sop_class_name, _code(one.sop_class_uid), one.role, _syntaxes_of(one), one.condition or "always"]
            for one in contexts
        ],
    )


def _accepted(claims: Claims) -> str:
    return _contexts(claims.accepted)


def _proposed(claims: Claims) -> str:
    return _contexts(claims.proposed)


def _transfer_syntaxes(_claims: Claims) -> str:
    results = {str(uid) for uid in UNCOMPRESSED}
    return _table(
        ["transfer syntax", "UID", "received", "sent"],
        [[name, _code(uid), "Y", "Y" if uid in results else "N"] for uid, name in TRANSFER_SYNTAXES.items()],
    )


def _answered(claims: Claims, service: str) -> str:
    of_service = [one for one in claims.answered if one.service == service]
    return _table(["status", "when"], [[_code(f"0x{one.status:04X}"), one.words] for one in of_service])


def _heard(claims: Claims) -> str:
    return _table(["status", "what follows"], [[_code(f"0x{one.status:04X}"), one.words] for one in claims.heard])


def _failure_reasons(claims: Claims) -> str:
    rows = [[_code(f"0x{one.status:04X}"), one.words] for one in claims.failure_reasons]
    return _table(["Failure Reason", "meaning"], rows)


def _value(limit: Limit) -> str:
    return f"{limit.value:g} {limit.unit}".strip() if limit.unit != "bytes" else f"{limit.value:.0f} bytes"


def _limits(claims: Claims, of: str) -> str:
    rows = [[one.words, _value(one), _code(one.setting) or "fixed"] for one in claims.limits if one.of == of]
    return _table(["limit", "value", "setting"], rows)


def _results(claims: Claims) -> str:
    rows = [[_code(one.kind), one.sop_class_name, _code(one.sop_class_uid), one.modality] for one in claims.results]
    return _table(["kind", "SOP class", "UID", "Modality"], rows)


def _attributes(claims: Claims, kind: str) -> str:
    rows = [
        [one.tag, one.keyword, one.vr, one.presence, one.source, one.value]
        for one in claims.attributes
        if one.kind == kind
    ]
    return _table(["tag", "attribute", "VR", "presence", "source", "value"], rows)


def _codes(claims: Claims, used: str) -> str:
    rows = [[_code(one.value), one.scheme, one.meaning] for one in claims.codes if one.used == used]
    return _table(["value", "scheme", "meaning"], rows)


def _suites(claims: Claims) -> str:
    return _table(
        ["profile", "cipher suites for TLS 1.2, by OpenSSL's names"],
        [[_code(profile), ", ".join(map(_code, suites))] for profile, suites in claims.cipher_suites.items()],
    )


def _destinations(claims: Claims) -> str:
    if not claims.destinations:
        return "This configuration names no destination: results stay in the node."
    rows = [
        [
            one.name,
            _code(one.ae_title),
            f"{one.host}:{one.port}",
            "TLS" if one.secured else "plain",
            ", ".join(UID(uid).name for uid in one.sop_classes),
            one.confirm,
        ]
        for one in claims.destinations
    ]
    return _table(["destination", "AE title", "address", "transport", "SOP classes", "confirmed by"], rows)


_TABLES: Final[dict[str, Callable[..., Any]]] = {
    "services": _services,
    "accepted": _accepted,
    "proposed": _proposed,
    "transfer_syntaxes": _transfer_syntaxes,
    "answered": _answered,
    "heard": _heard,
    "failure_reasons": _failure_reasons,
    "limits": _limits,
    "results": _results,
    "attributes": _attributes,
    "codes": _codes,
    "suites": _suites,
    "destinations": _destinations,
}
"""What the text calls them -> how they are made."""
