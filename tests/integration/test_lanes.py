"""Each way in which a destination can fail, beside a good one: the good one gets its results at its own time.

Over real associations: the lanes, the sender, a ledger in a file; the bad peer does what it should not.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import evt

from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import DeliveryRecord, DeliveryState, FinishedAnalysis, WorkerRole
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from patchclip_node.services import lanes
from patchclip_node.services.heartbeat import HeartbeatService
from patchclip_node.services.lanes import DeliveryService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.leases import LeaseService
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION, Archive
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph, write
from tests.support.fakes import MemorySpool, make_instance, make_ledger, make_result
from tests.support.lanes import lane
from tests.support.studies import LEASE_S, OWNER

OWN_TIME_S = 10.0
"""Within this a good destination has its results, whatever the other one does: four times what that takes alone, as
other tests run beside it, and less than silent and slow ones hold up what is theirs."""
POLICY = WorkPolicy(
    LEASE_S, analysis_attempts=3, commit_within_s=60, deliver_for_s=3600, backoff_s=0.5, backoff_max_s=1
)
STUDIES = 6
PROCESS = count(2)


def stalls(_: Dataset) -> int:
    """Answer after longer than any test lasts."""
    time.sleep(OWN_TIME_S + 1)
    return 0


def slow(_: Dataset) -> int:
    """Answer, one object every two seconds."""
    time.sleep(2)
    return 0


@contextmanager
def archive_that(answer: Callable[[Dataset], int]) -> Iterator[Destination]:
    """Run an archive that answers C-STORE so."""
    with Archive(answer=answer) as archive:
        yield archive.destination


@contextmanager
def refuses_association() -> Iterator[Destination]:
    """Run an archive that knows others only."""
    with Archive(calling_ae_titles=["SOMEBODY"]) as archive:
        yield archive.destination


@contextmanager
def aborts_in_the_middle() -> Iterator[Destination]:
    """Run an archive that answers each C-STORE with A-ABORT."""
    archive = AbortingArchive()
    with archive:
        yield archive.destination


class AbortingArchive(Archive):
    """Ends each association with its first object."""

    def _keep(self, event: evt.Event) -> int:
        event.assoc.abort()
        return 0


@contextmanager
def is_down() -> Iterator[Destination]:
    """Nothing listens."""
    yield Destination("archive", "ARCHIVE", "127.0.0.1", free_port())


@contextmanager
def takes_connections_alone() -> Iterator[Destination]:
    """Listen, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Destination("archive", "ARCHIVE", "127.0.0.1", listening.getsockname()[1])


@contextmanager
def refuses_the_class() -> Iterator[Destination]:
    """Run an archive that takes segmentations alone."""
    with Archive(sop_classes=[SEGMENTATION]) as archive:
        yield archive.destination


@contextmanager
def reads_half_a_kilobyte_a_second() -> Iterator[Destination]:
    """Run an archive behind a line of 0.5 kB/s."""
    with Archive() as archive, SlowLine(archive.port) as line:
        yield replace(archive.destination, port=line.port)


class SlowLine:
    """Passes on what comes to a port of loopback: 0.5 kB/s of what is sent, at once what is answered."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._open = [self._listening]

    def __enter__(self) -> SlowLine:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                far = socket.create_connection(self._target)
                self._open += [near, far]
                threading.Thread(target=self._pump, args=(near, far, 0.5), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, 0.0), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, pause_s: float) -> None:
        with suppress(OSError):
            while data := source.recv(256):
                time.sleep(pause_s)
                target.sendall(data)


BEHAVIOURS = {
    "silent after the connection": takes_connections_alone,
    "silent after C-STORE": lambda: archive_that(stalls),
    "refuses the association": refuses_association,
    "aborts in the middle": aborts_in_the_middle,
    "answers out of resources": lambda: archive_that(lambda _: 0xA700),
    "answers that the patient ID is missing": lambda: archive_that(lambda _: 0xA777),
    "answers a patient conflict": lambda: archive_that(lambda _: 0xA779),
    "refuses for good": lambda: archive_that(lambda _: 0xC000),
    "refuses the class": refuses_the_class,
    "reads half a kilobyte a second": reads_half_a_kilobyte_a_second,
    "slow": lambda: archive_that(slow),
    "down": is_down,
}


@dataclass
class Site:
    """A ledger, a spool, and studies whose report is to go to `good` and to `bad`."""

    ledger: SqlLedger
    spool: MemorySpool
    folder: Path
    uids: list[str] = field(default_factory=list)

    def analyse(self) -> None:
        """Finish one study more."""
        uid = f"1.2.{len(self.uids) + 1}"
        self.uids.append(uid)
        now = SystemClock().now()
        self.ledger.arrivals.record(make_instance(uid, received_at=now))
        self.ledger.arrivals.close_quiet(now, 0)
        leased = self.ledger.analyses.lease(now, OWNER, LEASE_S)
        assert leased is not None
        dataset = radiograph(rows=16, columns=16, sop_class_uid=COMPREHENSIVE_SR)
        content = write(dataset, self.folder / f"{uid}.dcm").read_bytes()
        result = make_result(str(dataset.SOPInstanceUID), ResultKind.SR, self.spool.write([content]).key)
        promised = {name: [result.sop_instance_uid] for name in ("bad", "good")}
        finished = FinishedAnalysis([result], promised, {}, "{}")
        self.ledger.analyses.finish(leased.study.id, OWNER, now, finished)

    def deliveries(self, destination: str) -> list[DeliveryRecord]:
        """Return what goes to a destination."""
        return [
            one
            for study in self.ledger.studies.find()
            for one in self.ledger.studies.deliveries(study.id)
            if one.destination == destination
        ]

    @contextmanager
    def delivering(self, *destinations: Destination, former: str | None = None) -> Iterator[DeliveryService]:
        """Run a lane for each for the time of the context; `former`: what the ledger knows them by as well."""
        clock, owner, stop = SystemClock(), LeaseOwner(f"host:{next(PROCESS)}:2"), threading.Event()
        sender = DicomResultSender("NODE", Timeouts(connect_s=2, acse_s=30, response_s=30))
        names = [] if former is None else [former]
        lanes = [lane(one, self.ledger, self.spool, sender, clock, POLICY, [one.name, *names]) for one in destinations]
        heartbeat = HeartbeatService(self.ledger.workers, clock, owner, WorkerRole.DELIVER, lambda _: ())
        leases = LeaseService(self.ledger.leases, clock, owner, lambda _: (), POLICY)
        service = DeliveryService(lanes, owner, heartbeat, leases, stop_grace_s=0.1)
        thread = threading.Thread(target=service.run, args=(stop, 0.2))
        thread.start()
        try:
            yield service
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ledger = make_ledger(tmp_path)
    yield Site(ledger, MemorySpool(tmp_path / "spool"), tmp_path)
    ledger.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_good_destination_gets_its_results_at_its_own_time_beside_a_bad_one(site: Site, behaviour: str) -> None:
    with (
        BEHAVIOURS[behaviour]() as bad,
        Archive() as good,
        site.delivering(replace(bad, name="bad"), replace(good.destination, name="good")),
    ):
        for _ in range(STUDIES // 2):
            site.analyse()
        started = time.monotonic()
        wait_until(lambda: len(good.received) == STUDIES // 2, "the good one has its results", OWN_TIME_S)
        for _ in range(STUDIES // 2):  # analysis goes on meanwhile
            site.analyse()
        wait_until(lambda: len(good.received) == STUDIES, "and those of later studies", OWN_TIME_S)
        took_s = time.monotonic() - started
        wait_until(lambda: all(one.state is DeliveryState.DELIVERED for one in site.deliveries("good")), "settled")

    assert took_s < OWN_TIME_S
    assert {one.state for one in site.deliveries("good")} == {DeliveryState.DELIVERED}
    assert len(set(good.sop_instance_uids)) == len(good.sop_instance_uids) == STUDIES


def test_what_waits_for_a_destination_that_was_removed_goes_to_the_one_that_it_is_renamed_to(site: Site) -> None:
    for _ in range(STUDIES):
        site.analyse()
    with Archive() as good, Archive() as renamed:
        with site.delivering(replace(good.destination, name="good")):
            wait_until(lambda: len(good.received) == STUDIES, "the good one has its results", OWN_TIME_S)
        assert {(one.state, one.attempts) for one in site.deliveries("bad")} == {(DeliveryState.PENDING, 0)}
        with site.delivering(replace(renamed.destination, name="new"), former="bad"):
            wait_until(lambda: len(renamed.received) == STUDIES, "the new one has what waited", OWN_TIME_S)

    assert sorted(renamed.sop_instance_uids) == sorted(good.sop_instance_uids)


def test_an_association_that_the_peer_aborts_costs_no_time_and_is_not_written_to_again(
    site: Site, tmp_path: Path
) -> None:
    paths = [
        write(radiograph(rows=16, columns=16, sop_class_uid=COMPREHENSIVE_SR), tmp_path / f"{number}.dcm")
        for number in range(3)
    ]
    with aborts_in_the_middle() as bad:
        started = time.monotonic()
        first, *others = DicomResultSender("NODE", Timeouts(response_s=30)).send(bad, paths)

    assert time.monotonic() - started < 3
    assert "ended the association while" in str(first.error)
    assert all("before this object was sent" in str(one.error) for one in others)
    assert all(one.broken and not one.permanent for one in (first, *others))


def test_a_destination_that_comes_back_gets_all_that_waited(site: Site) -> None:
    port = free_port()
    down = Destination("bad", "ARCHIVE", "127.0.0.1", port)
    for _ in range(STUDIES):
        site.analyse()
    with site.delivering(down):
        wait_until(lambda: any(one.attempts > 1 for one in site.deliveries("bad")), "it was tried more than once")
        with Archive(port=port) as archive:
            wait_until(lambda: len(archive.received) == STUDIES, "all arrive once it is back", OWN_TIME_S)

    assert {one.state for one in site.deliveries("bad")} == {DeliveryState.DELIVERED}


def test_two_processes_never_send_to_one_destination_at_once(site: Site) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def note(_: Dataset) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        with lock:
            now[0] -= 1
        return 0

    for _ in range(STUDIES):
        site.analyse()
    with Archive(answer=note) as archive:
        one = replace(archive.destination, name="bad")
        with site.delivering(one), site.delivering(one):
            wait_until(lambda: len(archive.received) == STUDIES, "all have arrived", 30)

    assert most == [1]
    assert {study.state for study in site.ledger.studies.find()} == {StudyState.RETURNING}  # `good` has no lane here


def test_an_idle_lane_looks_at_once_when_it_is_called(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LOOK_S", 3600.0)
    with Archive() as archive, site.delivering(replace(archive.destination, name="good")) as service:
        time.sleep(0.5)  # it has looked, and waits
        for number in range(1, 4):
            site.analyse()
            service.call()
            wait_until(lambda: len(archive.received) == number, "it is sent", 10)  # noqa: B023 - called at once
