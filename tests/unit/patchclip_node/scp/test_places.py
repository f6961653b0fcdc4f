"""Who gets an association when there are not enough places."""

from __future__ import annotations

import threading

from patchclip_node.scp.places import Caller, KnownCallers, PlacePolicy, Places, Shortage

PACS = Caller("PACS", "10.0.0.1")
POLICY = PlacePolicy(total=6, per_address=3, kept_for_known=2)


def stranger(number: int, address: str | None = None) -> Caller:
    return Caller(f"X{number}", address or f"10.9.9.{number}")


def test_strangers_leave_the_kept_places_to_known_callers() -> None:
    places = Places(POLICY, KnownCallers([PACS]))

    refused = [places.take(stranger(number)) for number in range(6)]

    assert refused == [None] * 4 + [Shortage.UNKNOWN] * 2
    assert [places.take(PACS) for _ in range(3)] == [None, None, Shortage.TOTAL]


def test_one_address_gets_its_share_whatever_titles_it_claims() -> None:
    places = Places(POLICY, KnownCallers([PACS]))

    refused = [places.take(stranger(number, "10.9.9.9")) for number in range(4)]

    assert refused == [None] * 3 + [Shortage.ADDRESS]
    assert places.take(stranger(5)) is None


def test_strangers_at_the_address_of_a_known_caller_do_not_take_its_share() -> None:
    places = Places(POLICY, KnownCallers([PACS]))
    for number in range(3):
        places.take(stranger(number, PACS.address))

    assert [places.take(PACS) for _ in range(4)] == [None] * 3 + [Shortage.TOTAL]


def test_a_title_that_is_claimed_elsewhere_is_not_known() -> None:
    known = KnownCallers([PACS])

    assert PACS in known
    assert Caller("PACS", "10.9.9.9") not in known


def test_who_has_sent_is_known_where_nobody_is_listed() -> None:
    open_list, listed = KnownCallers(), KnownCallers([PACS])

    for known in (open_list, listed):
        known.has_sent(stranger(1))

    assert stranger(1) in open_list
    assert stranger(1) not in listed
    assert stranger(1) in KnownCallers(have_sent=[stranger(1)])


def test_a_place_that_is_given_back_is_free_again() -> None:
    places = Places(PlacePolicy(total=1, per_address=1, kept_for_known=0), KnownCallers())

    assert places.take(stranger(1)) is None
    assert places.take(stranger(2)) is Shortage.TOTAL
    places.release(stranger(1))

    assert places.taken == 0
    assert places.take(stranger(2)) is None


def test_who_keeps_all_places_for_known_callers_still_lets_one_stranger_in() -> None:
    places = Places(PlacePolicy(total=1, per_address=1, kept_for_known=5), KnownCallers())

    assert places.take(stranger(1)) is None


def test_places_are_not_given_twice_to_callers_at_the_same_moment() -> None:
    places = Places(PlacePolicy(total=10, per_address=10, kept_for_known=0), KnownCallers())
    given: list[Shortage | None] = []
    threads = [threading.Thread(target=lambda: given.append(places.take(stranger(1)))) for _ in range(40)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert given.count(None) == places.taken == 10
