"""`users add | list | disable | password`."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.accounts import Session
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.services import passwords
from patchclip_node.settings import read_settings
from tests.support.fakes import START
from tests.unit.patchclip_node.cli.conftest import Command, Ended

PASSWORD = "correct horse battery"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
    return path


@pytest.fixture
def users(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `users ARGUMENTS` with a password on standard input."""

    def run(*arguments: str | Path, password: str = PASSWORD) -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        return command("users", *arguments, "--config", config)

    return run


def password_hash(tmp_path: Path, name: str) -> str:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}")
    account = ledger.accounts.find(name)
    ledger.close()
    assert account is not None
    return account.password_hash


def test_an_account_is_made_before_the_node_has_run_and_listed(users: Command, tmp_path: Path) -> None:
    ended = users("add", "anna", "--role", "operator", "--password-stdin")

    assert ended.status == 0, ended.err
    assert passwords.matches(password_hash(tmp_path, "anna"), PASSWORD)
    (listed,) = users("list", "--json").json
    assert (listed["name"], listed["role"], listed["disabled"]) == ("anna", "operator", False)
    assert PASSWORD not in ended.out + ended.err
    assert "argon2" not in str(listed)


def test_a_name_is_taken_once(users: Command) -> None:
    users("add", "anna", "--role", "viewer", "--password-stdin")

    ended = users("add", "anna", "--role", "administrator", "--password-stdin")

    assert ended.status == 1
    assert "already" in ended.err


def test_an_account_is_disabled_and_gets_another_password(users: Command, tmp_path: Path) -> None:
    users("add", "anna", "--role", "viewer", "--password-stdin")

    assert users("password", "anna", "--password-stdin", password="another long password").status == 0
    assert passwords.matches(password_hash(tmp_path, "anna"), "another long password")
    assert users("disable", "anna").status == 0
    assert users("list", "--json").json[0]["disabled"] is True


@pytest.mark.parametrize("arguments", [("disable", "bert"), ("password", "bert", "--password-stdin")])
def test_an_unknown_account_is_named(users: Command, arguments: tuple[str, ...]) -> None:
    users("add", "anna", "--role", "viewer", "--password-stdin")

    ended = users(*arguments)

    assert ended.status == 1
    assert "'bert'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "password", "said"),
    [
        (("add", "anna", "--role", "viewer", "--password-stdin"), "short", "at least 12 characters"),
        (("add", "anna", "--role", "viewer", "--password-stdin"), "", "at least 12 characters"),
        (("add", "anna", "--role", "viewer"), PASSWORD, "--password-stdin"),
        (("add", "An na", "--role", "viewer", "--password-stdin"), PASSWORD, "a name has"),
    ],
)
def test_no_account_is_made_of_what_is_wrong(
    users: Command, arguments: tuple[str, ...], password: str, said: str
) -> None:
    ended = users(*arguments, password=password)

    assert ended.status == 2
    assert said in " ".join(ended.err.split())


def test_pages_for_other_machines_need_an_account(users: Command, config: Path) -> None:
    from patchclip_node.bootstrap.access import refuse_open_pages
    from patchclip_node.bootstrap.common import open_ledger

    settings = read_settings(config, web={"host": "0.0.0.0"})
    ledger = open_ledger(settings)
    with pytest.raises(ConfigurationError, match="users add"):
        refuse_open_pages(settings, ledger.accounts)
    refuse_open_pages(read_settings(config), ledger.accounts)

    users("add", "anna", "--role", "administrator", "--password-stdin")
    refuse_open_pages(settings, ledger.accounts)
    ledger.close()


def test_a_sealed_code_is_shown_once_and_renewed(users: Command, tmp_path: Path) -> None:
    first, second = users("break-glass", "envelope").out, users("break-glass", "envelope").out

    codes = [re.fullmatch(r"name: envelope\ncode: ((?:[a-z2-7]{5}-){4}[a-z2-7]{5})\n", out) for out in (first, second)]
    old, new = (found[1] for found in codes if found)
    assert old != new
    assert passwords.matches(password_hash(tmp_path, "envelope"), new)
    assert not passwords.matches(password_hash(tmp_path, "envelope"), old)
    listed = users("list").out
    assert "sealed" in listed
    assert new not in listed


def test_the_audit_trail_tells_what_becomes_of_accounts(users: Command, tmp_path: Path) -> None:
    users("add", "anna", "--role", "viewer", "--password-stdin")
    users("add", "anna", "--role", "operator", "--password-stdin")  # there is one already: nothing has changed
    users("password", "anna", "--password-stdin", password="another battery")
    users("disable", "anna")
    users("break-glass", "envelope")

    ledger = SqlLedger(f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}")
    told = [dict(one.event.objects[0].details)["Alert Description"] for one in ledger.audit.pending(0)]
    ledger.close()
    assert told == [
        "the account anna was made, as viewer",
        "the account anna was given another password",
        "the account anna was disabled",
        "the account envelope was sealed, with a new code",
    ]


def test_a_new_code_mends_a_seal_and_ends_its_sessions(users: Command, tmp_path: Path) -> None:
    users("break-glass", "envelope")
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}")
    account = ledger.accounts.find("envelope")
    assert account is not None
    ledger.accounts.open_seal("envelope", START)
    ledger.sessions.start(Session("key", account.person, START, START))
    assert "seal opened" in users("list").out

    users("break-glass", "envelope")

    renewed = ledger.accounts.find("envelope")
    assert renewed is not None
    assert renewed.opened_at is None
    assert ledger.sessions.find("key") is None
    ledger.close()


@pytest.mark.parametrize(
    "arguments", [["break-glass", "anna"], ["password", "envelope"], ["add", "x", "--role", "sealed"]]
)
def test_persons_and_envelopes_are_not_taken_for_each_other(users: Command, arguments: list[str]) -> None:
    assert users("add", "anna", "--role", "viewer", "--password-stdin").status == 0
    users("break-glass", "envelope")

    assert users(*arguments).status != 0
