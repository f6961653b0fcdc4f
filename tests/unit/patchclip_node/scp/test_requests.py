"""What is remembered of a request for an association is what would have been read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.scp.requests import read_request
from patchclip_node.scp.storage_scp import StorageScp
from tests.support.scp import associate, associate_request

REQUEST = associate_request(DigitalXRayImageStorageForPresentation)


def test_a_request_is_read_once_and_again_where_a_byte_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[bytes]()
    decode = A_ASSOCIATE_RQ.decode

    def counted(pdu: A_ASSOCIATE_RQ, encoded: bytes) -> None:
        read.append(encoded)
        decode(pdu, encoded)

    monkeypatch.setattr(A_ASSOCIATE_RQ, "decode", counted)
    other = associate_request(DigitalXRayImageStorageForPresentation, calling="READ ONCE")
    another = associate_request(DigitalXRayImageStorageForPresentation, calling="READ, TOO")

    titles = [read_request(one).to_primitive().calling_ae_title for one in (other, other, another, other)]

    assert titles == ["READ ONCE", "READ ONCE", "READ, TOO", "READ ONCE"]
    assert read == [other, another]


def test_an_answer_that_is_noted_on_one_is_not_on_the_next() -> None:
    first = read_request(REQUEST).to_primitive()
    first.result = 0x01
    again = read_request(REQUEST).to_primitive()

    assert again.result is None
    (context,) = again.presentation_context_definition_list
    assert context.abstract_syntax == DigitalXRayImageStorageForPresentation
    assert context.transfer_syntax == [ExplicitVRLittleEndian]


def test_long_requests_are_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchclip_node.scp.requests._LARGEST_BYTES", len(REQUEST) - 1)

    assert read_request(REQUEST) is not read_request(REQUEST)


def test_a_broken_request_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(AssertionError):
            read_request(REQUEST[:-3])


def test_each_association_of_one_sender_is_negotiated_by_the_rules_of_its_time(
    start: Callable[..., StorageScp],
) -> None:
    refusing, taking = start(calling_ae_titles=("OTHER",)), start()
    wanted = (Verification, ExplicitVRLittleEndian)

    answers = [associate(scp, wanted) for scp in (refusing, taking, refusing, taking)]

    assert [one.is_established for one in answers] == [False, True, False, True]
    for one in answers[1::2]:
        assert one.send_c_echo().Status == 0x0000
        one.release()
