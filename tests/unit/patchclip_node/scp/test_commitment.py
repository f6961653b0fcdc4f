"""The desk of storage commitment, where what it writes into does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Never

from pynetdicom import evt

from patchclip_node.dicom.commitment import encoded_report, encoded_request
from patchclip_node.dicom.statuses import PROCESSING_FAILURE, RESOURCE_LIMITATION
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.domain.errors import RetryableError
from patchclip_node.scp.commitment import CommitmentDesk
from patchclip_node.scp.places import Caller

OBJECTS = (ObjectReference("1.2.840.10008.5.1.4.1.1.1", "1.2.3"),)


def no_answer(*_: object) -> Never:
    raise RetryableError("the ledger does not answer")


class Owing:
    """Knows everybody and can write nothing down."""

    def is_reachable(self, _ae_title: str, _address: str) -> bool:
        return True

    owe = no_answer
    tell_next = no_answer


class Full:
    """Has as much to tell as it takes."""

    def is_reachable(self, _ae_title: str, _address: str) -> bool:
        return True

    def owe(self, *_: object) -> bool:
        return False

    tell_next = no_answer


def event(**facts: Any) -> evt.Event:
    said: Any = SimpleNamespace(**facts)
    return said  # type: ignore[no-any-return]


def test_a_ledger_that_does_not_answer_is_a_processing_failure() -> None:
    desk = CommitmentDesk(no_answer, Owing())
    asked = event(action_type=1, action_information=encoded_request(CommitmentRequest("2.25.1", OBJECTS)))
    _, information = encoded_report(CommitmentReport("2.25.1", OBJECTS, {}))

    answer, _ = desk.asked(asked, Caller("MODALITY", "127.0.0.1"))
    status, _ = desk.reported(event(event_information=information))

    assert answer.Status == PROCESSING_FAILURE
    assert answer.ErrorComment == "the ledger does not answer"
    assert status == PROCESSING_FAILURE


def test_one_request_too_many_is_a_resource_limitation() -> None:
    asked = event(action_type=1, action_information=encoded_request(CommitmentRequest("2.25.1", OBJECTS)))

    answer, _ = CommitmentDesk(no_answer, Full()).asked(asked, Caller("MODALITY", "127.0.0.1"))

    assert answer.Status == RESOURCE_LIMITATION
