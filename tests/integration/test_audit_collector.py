"""Audit messages reach rsyslog over mutual TLS; what it did not get while it was down it gets afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import events
from patchclip_node.audit.message import build_message
from patchclip_node.audit.syslog import frame
from patchclip_node.audit.values import AuditEvent, AuditSource, RecordedEvent
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity, TlsCredentials
from patchclip_node.ports.audit import AuditLane
from patchclip_node.scu.audit_collector import SyslogCollector
from patchclip_node.services.audit.trail import CollectorLane
from patchclip_node.services.outage import again_and_again
from tests.peers.processes import wait_until
from tests.peers.rsyslog import Rsyslog, new_rsyslog
from tests.support.audit_events import all_events
from tests.support.audit_schema import problems
from tests.support.certificates import Authority, Certificate
from tests.support.fakes import START, make_ledger, waiting

pytestmark = [pytest.mark.peer("rsyslog"), pytest.mark.peer("openssl")]

SOURCE = AuditSource("PATCHCLIP", "node.example.org", "St. Example")
BOM = "\ufeff"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Rsyslog:
    return new_rsyslog(tmp_path_factory.mktemp("rsyslog") / "1", authority, authority.issue("collector"), "node")


def _security(authority: Authority, own: Certificate, peer: str = "collector") -> PeerSecurity:
    return PeerSecurity(TlsCredentials(own.certificate, own.key, authority.ca), CertificateMark(peer))


def _framed(recorded: RecordedEvent) -> bytes:
    event = recorded.event
    return frame(build_message(event, SOURCE), SOURCE, recorded.sequence, event.at, event.outcome)


def _lane(ledger: SqlLedger, connection: SyslogCollector, keep: int = 10_000) -> CollectorLane:
    return CollectorLane(ledger.audit, connection, _framed, SystemClock(), "test", keep)


def _event(number: int) -> AuditEvent:
    return events.logged_in(START, events.person(f"person{number}", "192.0.2.7"))


class _Running:
    """A lane in a thread, as the delivering process runs it."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=again_and_again, args=(step, self._stop, 0.05, "lane"), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


def test_each_message_arrives_as_the_standards_have_it(
    collector: Rsyslog, authority: Authority, node: Certificate
) -> None:
    told = [RecordedEvent(number, event) for number, event in enumerate(all_events().values(), 1)]
    with collector.running():
        connection = SyslogCollector("127.0.0.1", collector.port, _security(authority, node), settled_after_s=0.2)
        connection.send([_framed(one) for one in told])
        connection.close()

    arrived = collector.messages()
    assert [one.sequence for one in arrived] == [one.sequence for one in told]
    for message in arrived:
        assert message.message_id == "DICOM+RFC3881"
        assert message.priority in {84, 85}
        assert message.message.startswith(BOM)
        assert problems(message.message.removeprefix(BOM)) == []


def test_nothing_is_lost_while_the_collector_is_down(tmp_path: Path, authority: Authority, node: Certificate) -> None:
    """What was on its way when it went down may come twice, with the same number; the order stays."""
    collector = new_rsyslog(tmp_path / "rsyslog", authority, authority.issue("other"), "node")
    ledger = make_ledger(tmp_path)
    ledger.audit.follow(frozenset({AuditLane.SYSLOG}))
    connection = SyslogCollector("127.0.0.1", collector.port, _security(authority, node, "other"), settled_after_s=0.3)
    with _Running(_lane(ledger, connection).run_once):
        for number in range(1, 61):
            if number in {1, 31, 46}:
                with collector.running():
                    ledger.audit.record(_event(number))
                    wait_until(partial(_has, collector, number), f"event {number} arrives", 30)
            else:
                ledger.audit.record(_event(number))
        with collector.running():
            wait_until(lambda: waiting(ledger) == {AuditLane.SYSLOG: 0}, "all are carried", 60)
    connection.close()
    ledger.close()

    numbers = [one.sequence for one in collector.messages()]
    assert list(dict.fromkeys(numbers)) == list(range(1, 61))


def _has(collector: Rsyslog, sequence: int) -> bool:
    return any(one.sequence == sequence for one in collector.messages())


def test_a_collector_with_anothers_certificate_gets_nothing(
    collector: Rsyslog, authority: Authority, node: Certificate
) -> None:
    before = len(collector.messages())
    with collector.running():
        connection = SyslogCollector("127.0.0.1", collector.port, _security(authority, node, "someone-else"))
        with pytest.raises(PeerError, match="someone-else"):
            connection.send([_framed(RecordedEvent(1, _event(1)))])

    assert len(collector.messages()) == before


def test_a_sender_without_the_right_certificate_is_told_so(collector: Rsyslog, authority: Authority) -> None:
    before = len(collector.messages())
    with collector.running():
        stranger = _security(authority, authority.issue("stranger"))
        connection = SyslogCollector("127.0.0.1", collector.port, stranger, settled_after_s=1.0)
        with pytest.raises(PeerError):
            connection.send([_framed(RecordedEvent(1, _event(1)))])

    assert len(collector.messages()) == before


def test_a_collector_that_is_not_there_is_named() -> None:
    security = PeerSecurity(TlsCredentials(Path("a"), Path("b"), Path("c")), CertificateMark("x"))

    with pytest.raises(PeerError, match="there is no file"):
        SyslogCollector("127.0.0.1", 1, security).send([b"1 x"])
