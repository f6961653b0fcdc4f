"""Writes the tables of docs/conformance.md from what the node negotiates; `--check` only compares."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

from patchclip_node.dicom import statuses
from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.dicom.storage import READERS_SOP_CLASSES, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.lobby import FIRST_PDU_S, MAX_REQUEST_BYTES
from patchclip_node.scp.storage_scp import NETWORK_TIMEOUT_S, VERIFICATION_SYNTAXES
from patchclip_node.scp.upper_layer import MAX_ANNOUNCED_PDU_BYTES, MAX_PDU_BYTES

STATEMENT = Path(__file__).parents[1] / "docs" / "conformance.md"


def _accepted() -> str:
    verification = ", ".join(f"`{uid}`" for uid in VERIFICATION_SYNTAXES)
    taken_back = {uid: f"{name}, of studies that are here" for uid, name in READERS_SOP_CLASSES.items()}
    accepted = STORAGE_SOP_CLASSES | taken_back
    classes = [f"| {name} | `{uid}` | all of the table below |" for uid, name in accepted.items()]
    return "\n".join(
        [
            "| SOP class | UID | transfer syntaxes |",
            "|---|---|---|",
            f"| Verification | `1.2.840.10008.1.1` | {verification} |",
            f"| Storage Commitment Push Model, as SCU and as SCP | `{PUSH_MODEL}` | {verification} |",
            *classes,
        ]
    )


def _syntaxes() -> str:
    rows = [f"| {name} | `{uid}` |" for uid, name in TRANSFER_SYNTAXES.items()]
    return "\n".join(["| transfer syntax | UID |", "|---|---|", *rows])


def _association() -> str:
    rows = {
        "Implementation Class UID": f"`{IMPLEMENTATION_CLASS_UID}`",
        "Implementation Version Name": f"`{IMPLEMENTATION_VERSION_NAME}`",
        "Maximum Length offered": f"{MAX_PDU_BYTES} bytes",
        "A PDU longer than this is not read; the association is aborted": f"{MAX_ANNOUNCED_PDU_BYTES} bytes",
        "An association request longer than this is not read; the connection is aborted": f"{MAX_REQUEST_BYTES} bytes",
        "Time for the whole association request to arrive": f"{FIRST_PDU_S:g} s",
        "Time that an association may stand idle": f"{NETWORK_TIMEOUT_S:g} s",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _statuses() -> str:
    rows = {
        statuses.SUCCESS: "The bytes are on disk and their ledger row is committed.",
        statuses.SOP_CLASS_NOT_SUPPORTED: (
            "The command names another SOP class than its presentation context, or a result is not of this product."
        ),
        statuses.UNRECOGNIZED_OPERATION: "The node does not serve this command, or not in this presentation context.",
        statuses.MISTYPED_ARGUMENT: "A C-ECHO came with a data set.",
        statuses.OUT_OF_RESOURCES: "Disk full, instance too large, or the ledger does not answer.",
        statuses.DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "The data set is another class or instance than announced.",
        statuses.CANNOT_UNDERSTAND: "The data set cannot be read, or the node failed on it.",
    }
    return "\n".join(
        ["| status | when |", "|---|---|", *(f"| `0x{code:04X}` | {text} |" for code, text in rows.items())]
    )


SECTIONS = {"accepted": _accepted, "syntaxes": _syntaxes, "association": _association, "statuses": _statuses}


def _between(table: str, found: re.Match[str]) -> str:
    return f"{found[1]}{table}\n{found[2]}"


def filled(statement: str) -> str:
    """Return the statement with every generated section made again. Raises `ValueError` for a missing marker."""
    for name, section in SECTIONS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        statement, count = pattern.subn(partial(_between, section()), statement)
        if count != 1:
            raise ValueError(f"docs/conformance.md needs the markers of section {name} exactly once")
    return statement


def main() -> int:
    """Write, or with `--check` compare; 1 when the statement is out of date."""
    present = STATEMENT.read_text(encoding="utf-8")
    current = filled(present)
    if "--check" in sys.argv:
        return int(current != present)
    STATEMENT.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
