"""Passwords and guesses, apart from the pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.accounts import Account, Role, SessionPolicy
from patchclip_node.domain.errors import LoginRefusedError
from patchclip_node.services import passwords, throttle
from patchclip_node.services.login import LoginDesk
from patchclip_node.services.throttle import LONGEST_WAIT_S, Throttle
from tests.support.fakes import START, FakeClock, make_ledger, told_at_once

PASSWORD = "a good long password"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("password", ["", "short", "elevenchars", "aaaaaaaaaaaaaaaa", "my name is Anna", "x" * 257])
def test_a_weak_password_is_refused_with_its_reason(password: str) -> None:
    assert passwords.refusal("anna", password)


def test_a_good_one_is_kept_as_argon2id_with_its_own_salt() -> None:
    first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)

    assert passwords.refusal("anna", PASSWORD) is None
    assert first.startswith("$argon2id$")
    assert first != second
    assert passwords.matches(first, PASSWORD)
    assert not passwords.matches(first, PASSWORD + " ")
    assert not passwords.matches("not a hash", PASSWORD)


def test_the_wait_doubles_up_to_its_end_and_passes() -> None:
    guesses, waits = Throttle(), list[float]()
    for _ in range(20):
        guesses.failed("anna", START)
        waits.append(guesses.wait_s("anna", START))

    assert waits[:7] == [0, 0, 0, 0, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT_S
    assert guesses.wait_s("anna", START + timedelta(seconds=LONGEST_WAIT_S)) == 0
    assert guesses.wait_s("bert", START) == 0


def test_what_is_remembered_of_guesses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "REMEMBERED", 3)
    guesses = Throttle()
    for number in range(100):
        guesses.failed(f"name {number}", START)

    assert len(guesses._failures) == 3


def test_an_unknown_name_is_refused_in_the_same_words_and_slowed_down_alike(ledger: SqlLedger) -> None:
    desk = LoginDesk(ledger.accounts, ledger.sessions, told_at_once(ledger), FakeClock(), SessionPolicy(60, 600))
    ledger.accounts.add(Account("anna", Role.VIEWER, passwords.hashed(PASSWORD), START))

    said = {name: _words(desk, name, f"192.0.2.{number}") for number, name in enumerate(("anna", "bert"))}

    assert said["anna"] == said["bert"]
    assert "wrong" in said["anna"][0]
    assert "try again in" in said["anna"][-1]


def test_guesses_at_many_names_from_one_address_are_slowed_down(ledger: SqlLedger) -> None:
    desk = LoginDesk(ledger.accounts, ledger.sessions, told_at_once(ledger), FakeClock(), SessionPolicy(60, 600))

    said = [_words(desk, f"name-{number}", "192.0.2.7", guesses=1)[0] for number in range(6)]

    assert "try again in" in said[-1]


def _words(desk: LoginDesk, name: str, address: str, guesses: int = 6) -> list[str]:
    said = []
    for _ in range(guesses):
        with pytest.raises(LoginRefusedError) as refused:
            desk.log_in(name, "not the password", address)
        said.append(str(refused.value))
    return said
