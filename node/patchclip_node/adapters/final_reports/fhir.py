"""Reports as FHIR has them: DiagnosticReport as JSON (R4, R4B, R5), alone, in a Bundle, or a line each (NDJSON)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any, Final

from patchclip_node.domain.final_reports import FinalReport, NotRead, ReportStatus

Resource = Mapping[str, Any]

_STATUSES: Final = {
    "final": ReportStatus.FINAL,
    "amended": ReportStatus.CORRECTED,
    "corrected": ReportStatus.CORRECTED,
    "appended": ReportStatus.CORRECTED,
    "cancelled": ReportStatus.WITHDRAWN,
    "entered-in-error": ReportStatus.WITHDRAWN,
}
"""Value set diagnostic-report-status; all else has yet to become final."""

_SCHEMES: Final = {
    "http://snomed.info/sct": "SCT",
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
    "urn:oid:1.2.840.10008.2.16.4": "DCM",
}
_UID: Final = "urn:dicom:uid"
_OID: Final = "urn:oid:"


def fhir_reports(content: bytes, where: str) -> Iterator[FinalReport | NotRead]:
    """Yield the reports of a file; each that cannot be read is named by its number."""
    try:
        text = content.decode("utf-8-sig")
        try:
            files = [json.loads(text)]
        except ValueError:
            files = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        yield NotRead(where, f"not JSON: {error}")
        return
    resources = [one for file in files for one in _resources(file)]
    reports = [one for one in resources if one.get("resourceType") == "DiagnosticReport"]
    if not reports:
        yield NotRead(where, "it has no DiagnosticReport")
    others = _by_address(files)
    for number, report in enumerate(reports, 1):
        at = f"{where}, report {number}"
        try:
            yield _report(report, others, at)
        except (AttributeError, KeyError, TypeError, ValueError, LookupError) as error:
            yield NotRead(at, f"not a DiagnosticReport that can be understood: {error}")


def _resources(file: Any) -> list[Resource]:
    if isinstance(file, list):
        return [one for part in file for one in _resources(part)]
    if not isinstance(file, dict):
        return []
    if file.get("resourceType") != "Bundle":
        return [file]
    entries = file.get("entry", [])
    return [one["resource"] for one in entries if isinstance(one, dict) and isinstance(one.get("resource"), dict)]


def _by_address(files: Iterable[Any]) -> dict[str, Resource]:
    """Return the resources of all files by what refers to them: their full address, and their type and id."""
    found: dict[str, Resource] = {}
    for file in files:
        for resource in _resources(file):
            found[f"{resource.get('resourceType')}/{resource.get('id')}"] = resource
        for entry in file.get("entry", []) if isinstance(file, dict) else []:
            if isinstance(entry, dict) and "fullUrl" in entry and isinstance(entry.get("resource"), dict):
                found[str(entry["fullUrl"])] = entry["resource"]
    return found


def _report(report: Resource, others: Mapping[str, Resource], where: str) -> FinalReport:
    known = {**others, **{f"#{one.get('id')}": one for one in report.get("contained", [])}}
    orders = [_with(one, known) for one in report.get("basedOn", [])]
    studies = [_with(one, known) for one in (*report.get("imagingStudy", []), *report.get("study", []))]
    identifiers = [_identifiers(one) for one in (*orders, *studies)]
    numbers = [one for listed in (_identifiers(report), *identifiers) for one in listed if not _is_uid(one)]
    uids = [_uid(one) for listed in (*identifiers, _identifiers(report)) for one in listed if _is_uid(one)]
    subject = _with(report.get("subject", {}), known)
    patients = {str(one.get("value", "")).strip() for one in _identifiers(subject)}
    issued = report.get("issued") or report.get("meta", {}).get("lastUpdated")
    codings = [one for concept in report.get("conclusionCode", []) for one in _codings(concept)]
    return FinalReport(
        where,
        _STATUSES.get(report["status"], ReportStatus.NOT_FINAL),
        next(iter(uids), ""),
        tuple(dict.fromkeys(str(one.get("value", "")).strip() for one in numbers if one.get("value"))),
        frozenset(filter(None, patients)),
        str(report.get("id", "")),
        datetime.fromisoformat(issued).astimezone(UTC) if issued else None,
        _text(report),
        tuple((str(one.get("code", "")), _SCHEMES.get(one.get("system", ""), "")) for one in codings),
    )


def _with(reference: Resource, known: Mapping[str, Resource]) -> Resource:
    """Return a reference and the resource that it names as one; alone where that is not in the file."""
    address = str(reference.get("reference", ""))
    named = known.get(address) or known.get("/".join(address.split("/")[-2:])) or {}
    return {"named": named, "identifier": reference.get("identifier", {})}


def _identifiers(resource: Resource) -> list[Resource]:
    listed = resource.get("identifier", [])
    own = [listed] if isinstance(listed, Mapping) else list(listed)
    named = resource.get("named", {})
    return [one for one in own if one] + (_identifiers(named) if named else [])


def _is_uid(identifier: Resource) -> bool:
    return identifier.get("system") == _UID or str(identifier.get("value", "")).startswith(_OID)


def _uid(identifier: Resource) -> str:
    return str(identifier.get("value", "")).removeprefix(_OID)


def _codings(concept: Resource) -> list[Resource]:
    return list((concept.get("concept") or concept).get("coding", []))  # R5 has a CodeableReference


def _text(report: Resource) -> str:
    """Return the report's words: its plain texts, else what it concludes."""
    texts = [_decoded(form) for form in report.get("presentedForm", []) if _is_plain(form)]
    said = "\n\n".join(filter(None, texts))
    conclusion = str(report.get("conclusion", ""))
    return said if not conclusion or conclusion in said else f"{said}\n\nIMPRESSION: {conclusion}".strip()


def _is_plain(form: Resource) -> bool:
    return str(form.get("contentType", "")).split(";")[0].strip().lower() == "text/plain" and "data" in form


def _decoded(form: Resource) -> str:
    header = Message()
    header["Content-Type"] = form["contentType"]
    try:
        return base64.b64decode(form["data"], validate=True).decode(header.get_content_charset("utf-8"))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"its text does not fit its content type: {error}") from error
