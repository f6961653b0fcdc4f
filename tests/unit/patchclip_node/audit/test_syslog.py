"""The frame is RFC 5425's, the header RFC 5424's, with what PS3.15 A.6 asks for."""

from __future__ import annotations

import re

from patchclip_node.audit.syslog import frame
from patchclip_node.audit.values import AuditSource, Outcome
from tests.support.fakes import START

SOURCE = AuditSource("PATCH CLIP", "node.example.org")


def test_the_frame_says_how_many_octets_follow() -> None:
    framed = frame("<AuditMessage name='Müller'/>", SOURCE, 7, START, Outcome.SUCCESS)

    length, _, rest = framed.partition(b" ")

    assert int(length) == len(rest)


def test_the_header_is_as_the_standards_say() -> None:
    framed = frame("<AuditMessage/>", SOURCE, 7, START, Outcome.SUCCESS).partition(b" ")[2].decode()

    assert framed == (
        "<85>1 2026-03-01T08:00:00.000Z node.example.org patchclip-node PATCHCLIP DICOM+RFC3881 "
        '[meta sequenceId="7"] \ufeff<AuditMessage/>'
    )


def test_a_failure_is_a_warning() -> None:
    assert b"<84>1" in frame("<AuditMessage/>", SOURCE, 7, START, Outcome.MINOR_FAILURE)


def test_the_number_stays_in_what_the_standard_allows() -> None:
    for sequence in (1, 2_147_483_647, 2_147_483_648, 10**12):
        found = re.search(rb'sequenceId="(\d+)"', frame("", SOURCE, sequence, START, Outcome.SUCCESS))
        assert found is not None
        assert 1 <= int(found[1]) <= 2_147_483_647
