"""How the node answers requests: which statuses there are, and the response that carries one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pydicom import Dataset

from patchclip_node.dicom import statuses

_OF_THE_COMMAND: Final = {
    statuses.SOP_CLASS_NOT_SUPPORTED: "The command names another SOP class than its presentation context.",
    statuses.UNRECOGNIZED_OPERATION: "The node does not serve this command, or not in this presentation context.",
}
"""What the command set alone decides (`commands.refusal`), of any service."""

ANSWERED: Final = MappingProxyType(
    {
        "C-ECHO": {
            statuses.SUCCESS: "Always, but for what follows.",
            statuses.MISTYPED_ARGUMENT: "The C-ECHO came with a data set.",
            **_OF_THE_COMMAND,
        },
        "C-STORE": {
            statuses.SUCCESS: "The bytes are on disk and their ledger row is committed.",
            statuses.OUT_OF_RESOURCES: "Disk full, too many studies wait, instance too large, or the ledger is silent.",
            statuses.DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "The data set is another class or instance than announced.",
            statuses.CANNOT_UNDERSTAND: "The data set cannot be read, or the node failed on it.",
            **_OF_THE_COMMAND,
            statuses.SOP_CLASS_NOT_SUPPORTED: (
                "The command names another SOP class than its presentation context, or the object is of a class that "
                "is made of images, and its study is not here."
            ),
        },
        "N-ACTION": {
            statuses.SUCCESS: "The request is written down: a report will come.",
            statuses.PROCESSING_FAILURE: "The request could not be written down: the ledger does not answer.",
            statuses.INVALID_ARGUMENT_VALUE: "The request is not understood.",
            statuses.NO_SUCH_ACTION: "The action is another than 1, Request Storage Commitment.",
            statuses.NOT_AUTHORIZED: "`known_callers` names no port where the caller takes reports.",
            statuses.RESOURCE_LIMITATION: "Too many requests of this caller wait.",
            **_OF_THE_COMMAND,
        },
        "N-EVENT-REPORT": {
            statuses.SUCCESS: "The report is written down, or is of a transaction that is not waited for.",
            statuses.PROCESSING_FAILURE: "The report could not be written down: the ledger does not answer.",
            statuses.INVALID_ARGUMENT_VALUE: "The report is not understood.",
            **_OF_THE_COMMAND,
        },
    }
)
"""Service -> status -> when it is answered; no other one is. The statement of conformance is made of it."""

_ERROR_COMMENT_LENGTH: Final = 64
"""(0000,0902) has the VR LO: at most 64 characters (PS3.5 6.2)."""


def response(status: int, comment: str = "") -> Dataset:
    """Return a status as pynetdicom takes it, with its comment."""
    dataset = Dataset()
    dataset.Status = status
    if comment:
        dataset.ErrorComment = error_comment(comment)
    return dataset


def error_comment(comment: str) -> str:
    """Return a comment that is cut to what (0000,0902) can hold."""
    plain = comment.encode("ascii", "replace").decode("ascii").replace("\\", "/")
    return " ".join(plain.split())[:_ERROR_COMMENT_LENGTH]
