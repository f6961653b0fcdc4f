from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patchclip_node.domain.records import InstanceHeader, Priority
from patchclip_node.scp.helpers import Front, Helpers, TellingCallers, line
from patchclip_node.scp.places import Caller, KnownCallers, PlacePolicy, Places
from patchclip_node.scp.storage_scp import Endpoint, StorageScp
from patchclip_node.services.urgency import UrgencyQuota
from tests.peers.radiographs import radiograph
from tests.support.fakes import make_instance
from tests.support.scp import (
    OPEN,
    KeepingReceiver,
    associate,
    associate_request,
    close_associations,
    p_data,
    received_pdu,
    received_until_end,
    room,
    store,
    wait_until,
)

DX = "1.2.840.10008.5.1.4.1.1.1.1"
ECHO = ("1.2.840.10008.1.1", "1.2.840.10008.1.2")


@dataclass
class Helping:
    """A receiver and one that helps it, over a real line; the helper is a thread of the test."""

    scp: StorageScp
    known: KnownCallers
    kept_by_receiver: KeepingReceiver
    kept_by_helper: KeepingReceiver
    theirs: socket.socket
    helper: StorageScp
    thread: threading.Thread
    followed: list[Path] = field(default_factory=list)

    def places(self) -> int:
        return self.scp._places.taken


def keeping(folder: Path) -> KeepingReceiver:
    folder.mkdir()
    return KeepingReceiver(folder)


@pytest.fixture
def helping(tmp_path: Path) -> Iterator[Callable[..., Helping]]:
    over: list[Callable[[], None]] = []

    def begin(places: PlacePolicy = OPEN.places) -> Helping:
        (tmp_path / "incoming").mkdir()
        incoming = room(tmp_path / "incoming")
        by_receiver, by_helper = keeping(tmp_path / "receiver"), keeping(tmp_path / "helper")
        known = KnownCallers()
        admission = replace(OPEN, places=places)
        scp = StorageScp(by_receiver, incoming, Endpoint("NODE", "127.0.0.1", 0), admission, known)
        scp.start()
        ours, theirs = line()
        followed: list[Path] = []
        front = Front(theirs, followed.append)
        helper = StorageScp(
            by_helper, incoming, Endpoint("NODE", "127.0.0.1", scp.port), admission, TellingCallers(front)
        )
        thread = threading.Thread(target=helper.help, args=(front, 2.0), daemon=True)
        attending = threading.Thread(target=scp.helpers.serve_line, args=(ours, threading.Event()), daemon=True)
        thread.start()
        attending.start()
        wait_until(lambda: any(one.is_ready for one in scp.helpers._all()))

        def end() -> None:
            scp.stop(grace_s=0)
            thread.join(10)
            theirs.close()
            attending.join(10)
            close_associations()
            assert not thread.is_alive()
            assert not attending.is_alive()

        over.append(end)
        return Helping(scp, known, by_receiver, by_helper, theirs, helper, thread, followed)

    yield begin
    for end in over:
        end()


def test_the_process_with_the_fewest_associations_serves_the_next(helping: Callable[..., Helping]) -> None:
    both = helping()

    opened = [associate(both.scp, ECHO) for _ in range(6)]

    assert all(one.is_established for one in opened)
    assert both.scp.helpers._all()[0].busy == 3
    assert both.places() == 6
    assert all(one.send_c_echo().Status == 0 for one in opened)
    for one in opened:
        one.release()
    wait_until(lambda: both.places() == 0)


def test_an_image_is_kept_by_whoever_serves_its_association(helping: Callable[..., Helping]) -> None:
    both = helping()

    assert store(both.scp, radiograph()).Status == 0

    assert len(both.kept_by_helper.files) == 1
    assert both.kept_by_receiver.files == []
    wait_until(lambda: Caller("SENDER", "127.0.0.1") in both.known)
    facts = both.kept_by_helper.calls[0]
    assert (facts["calling_ae_title"], facts["peer_address"]) == ("SENDER", "127.0.0.1")


def test_places_are_given_out_once_for_all_processes(helping: Callable[..., Helping]) -> None:
    both = helping(PlacePolicy(total=3, per_address=3, kept_for_known=0))

    opened = [associate(both.scp, ECHO) for _ in range(4)]

    assert [one.is_established for one in opened] == [True, True, True, False]
    opened[0].abort()
    wait_until(lambda: both.places() == 2)
    assert associate(both.scp, ECHO).is_established


def test_a_helper_that_dies_takes_no_place_with_it_and_the_receiver_goes_on(helping: Callable[..., Helping]) -> None:
    both = helping()
    peer = socket.create_connection(("127.0.0.1", both.scp.port), timeout=10)
    peer.sendall(associate_request(DX))
    assert received_pdu(peer)[0] == 0x02
    assert both.places() == 1

    both.theirs.shutdown(socket.SHUT_RDWR)

    received_until_end(peer)
    peer.close()
    wait_until(lambda: both.places() == 0 and not both.scp.helpers._all())
    assert store(both.scp, radiograph()).Status == 0
    assert len(both.kept_by_receiver.files) == 1


def test_a_helper_that_does_not_listen_holds_up_no_association(
    helping: Callable[..., Helping], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = helping()
    monkeypatch.setattr(socket, "send_fds", _full)

    assert store(both.scp, radiograph()).Status == 0

    assert len(both.kept_by_receiver.files) == 1
    wait_until(lambda: both.places() == 0)


def _full(*_: object) -> int:
    raise BlockingIOError


def test_a_request_that_is_too_long_for_the_line_is_served_by_the_receiver(
    helping: Callable[..., Helping], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = helping()
    monkeypatch.setattr("patchclip_node.scp.helpers._MOST_BYTES", 100)

    assert store(both.scp, radiograph()).Status == 0

    assert len(both.kept_by_receiver.files) == 1


def test_what_peers_do_wrong_is_counted_over_all_processes(helping: Callable[..., Helping]) -> None:
    both = helping()

    for _ in range(2):
        with socket.create_connection(("127.0.0.1", both.scp.port), timeout=10) as peer:
            peer.sendall(associate_request(DX))
            assert received_pdu(peer)[0] == 0x02
            peer.sendall(p_data(1, 0x03, b"not a command set"))
            received_until_end(peer)
    wait_until(lambda: both.places() == 0)
    before = both.scp.reception(datetime.now(UTC)).troubles
    assert both.scp.helpers.troubles()["message_not_understood"] >= 1
    assert before == {"message_not_understood": 2}

    both.theirs.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: not both.scp.helpers._all())
    assert both.scp.reception(datetime.now(UTC)).troubles == before


def test_the_helper_takes_settings_up_where_the_receiver_does(helping: Callable[..., Helping]) -> None:
    both = helping()

    both.scp.helpers.follow(Path("/another/node.yaml"))

    wait_until(lambda: both.followed == [Path("/another/node.yaml")])
    assert associate(both.scp, ECHO).is_established


def test_a_helper_that_began_with_other_settings_than_hold_by_now_takes_those_up() -> None:
    known = KnownCallers()
    helpers = Helpers(Places(OPEN.places, known), known)
    begun_with = Path("/first/node.yaml")
    helpers.follow(begun_with)
    helpers.follow(Path("/second/node.yaml"))  # while the system was starting its process
    ours, theirs = line()
    attending = threading.Thread(target=helpers.serve_line, args=(ours, threading.Event(), begun_with), daemon=True)
    attending.start()

    theirs.settimeout(10)
    told = theirs.recv(1000)

    theirs.close()
    attending.join(10)
    assert b"/second/node.yaml" in told
    assert not attending.is_alive()


@pytest.fixture
def asking() -> Iterator[tuple[Helpers, Front]]:
    """A receiver's end of a line, and that of a process that helps it and takes what comes."""
    known = KnownCallers()
    helpers = Helpers(Places(OPEN.places, known), known)
    ours, theirs = line()
    front = Front(theirs, lambda _: None)
    attending = threading.Thread(target=helpers.serve_line, args=(ours, threading.Event()), daemon=True)
    taking = threading.Thread(target=front.take, daemon=True)
    attending.start()
    taking.start()
    wait_until(lambda: bool(helpers._all()))
    yield helpers, front
    helpers.leave()
    taking.join(10)
    theirs.close()
    attending.join(10)
    assert not taking.is_alive()
    assert not attending.is_alive()


def urgent(study: int) -> InstanceHeader:
    return replace(make_instance(f"1.2.{study}").header, priority=Priority.STAT)


def test_urgent_studies_are_counted_once_for_all_processes(asking: tuple[Helpers, Front]) -> None:
    helpers, front = asking
    receiver = UrgencyQuota(2)
    helpers.grants = receiver.grants
    helper = UrgencyQuota(2, ask=front.may_be_urgent)

    first, second, third = (
        quota.applied(urgent(number), "10.0.0.1").priority for number, quota in enumerate((receiver, helper, helper))
    )

    assert (first, second, third) == (Priority.STAT, Priority.STAT, Priority.ROUTINE)
    assert receiver.applied(urgent(3), "10.0.0.1").priority is Priority.ROUTINE
    assert receiver.applied(urgent(1), "10.0.0.1").priority is Priority.STAT, "the helper's is the receiver's"
    assert helper.applied(urgent(4), "10.0.0.2").priority is Priority.STAT


def test_who_gets_no_answer_counts_by_itself_and_does_not_wait(asking: tuple[Helpers, Front]) -> None:
    helpers, front = asking
    helper = UrgencyQuota(1, ask=front.may_be_urgent)
    helpers.leave()
    wait_until(lambda: front.may_be_urgent("1.2.3", "10.0.0.1") is None)

    began_s = time.monotonic()
    given = [helper.applied(urgent(number), "10.0.0.1").priority for number in range(2)]

    assert given == [Priority.STAT, Priority.ROUTINE]
    assert time.monotonic() - began_s < 1
