"""A peer that asked for storage commitment is told, by time, until it was or the time of a delivery is over."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.domain.errors import PeerError
from patchclip_node.ports.result_sender import Destination
from patchclip_node.services.custody import MOST_OWED, CustodyReports, CustodyService
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.studies import POLICY

PEERS = {
    ("CT", "10.0.0.1"): Destination("CT", "CT", "10.0.0.1", 104),
    ("DX", "10.0.0.2"): Destination("DX", "DX", "10.0.0.2", 104),
}
REQUEST = CommitmentRequest("2.25.1", (ObjectReference("1.2.840.10008.5.1.4.1.1.1", "1.2.3"),))


@dataclass
class FakeReportSender:
    """Tells peers, but those that are down."""

    down: set[str] = field(default_factory=set)
    tried: list[str] = field(default_factory=list)
    told: list[tuple[str, CommitmentReport]] = field(default_factory=list)

    def report_commitment(self, destination: Destination, report: CommitmentReport) -> None:
        self.tried.append(destination.name)
        if destination.name in self.down:
            raise PeerError(f"{destination.name} does not answer")
        self.told.append((destination.name, report))


class Site:
    """Two peers that may ask."""

    def __init__(self, ledger: SqlLedger, spool: MemorySpool, clock: FakeClock) -> None:
        self.ledger, self.clock, self.sender = ledger, clock, FakeReportSender()
        self._custody = CustodyService(ledger.arrivals, spool)
        self.desk = self.begun_again()

    def begun_again(self, peers: dict[tuple[str, str], Destination] = PEERS) -> CustodyReports:
        return CustodyReports(self.ledger.owed_reports, self._custody, self.sender, peers, self.clock, POLICY)


@pytest.fixture
def site(ledger: SqlLedger, spool: MemorySpool, clock: FakeClock) -> Site:
    return Site(ledger, spool, clock)


def test_a_report_is_told_once(site: Site) -> None:
    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    assert site.desk.tell_next()
    assert not site.desk.tell_next()

    (told,) = site.sender.told
    assert (told[0], told[1].transaction_uid, told[1].failed) == ("CT", "2.25.1", {REQUEST.objects[0]: 0x0112})
    assert site.ledger.owed_reports.owed() == []


def test_a_peer_that_is_down_is_told_when_it_is_back_also_by_another_process(site: Site) -> None:
    site.sender.down = {"CT"}
    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    for wait_s in (POLICY.backoff_s, 2 * POLICY.backoff_s, 4 * POLICY.backoff_s):
        assert site.desk.tell_next()
        site.clock.advance(wait_s - 1)
        assert not site.desk.tell_next()
        site.clock.advance(1)
    assert site.sender.tried == ["CT"] * 3
    site.sender.down = set()

    assert site.begun_again().tell_next()
    assert [name for name, _ in site.sender.told] == ["CT"]


def test_who_was_killed_while_it_told_is_followed_by_one_that_tells(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    with monkeypatch.context() as patch:
        patch.setattr(site.sender, "report_commitment", killed)
        with pytest.raises(KeyboardInterrupt):
            site.desk.tell_next()
    site.clock.advance(POLICY.lease_s)

    assert site.begun_again().tell_next()
    assert len(site.sender.told) == 1


def test_a_peer_that_is_down_keeps_no_other_one_waiting(site: Site) -> None:
    site.sender.down = {"CT"}
    for number in range(3):
        assert site.desk.owe("CT", "10.0.0.1", CommitmentRequest(f"2.25.{number}", REQUEST.objects))
    assert site.desk.owe("DX", "10.0.0.2", REQUEST)
    while site.desk.tell_next():
        pass

    assert site.sender.tried == ["CT", "DX"]
    assert [name for name, _ in site.sender.told] == ["DX"]


def test_a_report_is_given_up_after_the_time_of_a_delivery_and_the_log_says_so(site: Site) -> None:
    site.sender.down = {"CT"}
    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    with capture_logs() as logs:
        for _ in range(100):
            site.desk.tell_next()
            site.clock.advance(POLICY.deliver_for_s / 10)

    assert site.ledger.owed_reports.owed() == []
    (given_up,) = [one for one in logs if one["event"] == "commitment_report_given_up"]
    assert given_up["error"] == "CT does not answer"
    assert given_up["attempts"] == len(site.sender.tried) < 100


def test_a_node_that_was_down_for_longer_than_that_tries_once(site: Site) -> None:
    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    site.clock.advance(10 * POLICY.deliver_for_s)
    assert site.desk.tell_next()

    assert len(site.sender.told) == 1


def test_a_peer_that_is_not_listed_any_more_is_named(site: Site) -> None:
    assert site.desk.owe("CT", "10.0.0.1", REQUEST)
    site.begun_again({}).tell_next()

    (owed,) = site.ledger.owed_reports.owed()
    assert owed.last_error == "known_callers names no port of CT at 10.0.0.1 any more"


def test_a_peer_that_asks_more_than_it_can_be_told_is_refused(site: Site) -> None:
    taken = [
        site.desk.owe("CT", "10.0.0.1", CommitmentRequest(f"2.25.{number}", REQUEST.objects))
        for number in range(MOST_OWED + 2)
    ]

    assert taken == [True] * MOST_OWED + [False] * 2
    assert site.desk.owe("DX", "10.0.0.2", REQUEST)
