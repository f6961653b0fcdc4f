"""`users add | break-glass | list | disable | password`: who may log in to the pages."""

from __future__ import annotations

import getpass
import re
import sys
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console
from patchclip_node.audit import codes, events
from patchclip_node.audit.values import AuditEvent, Outcome
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, print_json
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

if TYPE_CHECKING:
    from datetime import datetime

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Say who may log in to the status pages, and as what."
)

_PersonsRole = Literal["viewer", "operator", "administrator"]
_NAME = r"[a-z0-9][a-z0-9._@-]{0,63}"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.", show_default=False)]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, not from the terminal.")
]


@app.command()
def add(
    name: NameArgument,
    role: Annotated[_PersonsRole, typer.Option("--role", "-r", help="What the person may do.")],
    config: ConfigOption = None,
    password_stdin: StdinOption = False,
) -> None:
    """Make an account. The first one closes the pages to whoever does not log in."""
    from patchclip_node.bootstrap.common import open_clock, open_ledger
    from patchclip_node.services.passwords import hashed

    _refuse_bad_name(name)
    ledger = open_ledger(read_settings(config))
    try:
        password_hash = hashed(_new_password(name, from_stdin=password_stdin))
        account = Account(name, Role(role), password_hash, open_clock(ledger).now())
        if not ledger.accounts.add(account, _told(account.created_at, name, f"was made, as {role}")):
            complain(
                f"there is an account {name!r} already; `patchclip-node users password {name}` changes its password"
            )
            raise typer.Exit(EXIT_FAILURE)
    finally:
        ledger.close()
    typer.echo(f"{name} may log in as {role}")


@app.command("break-glass")
def break_glass(name: NameArgument, config: ConfigOption = None) -> None:
    """Make an emergency account with a new code, or give the one of this name another code. Prints the code, once.

    Put it into a sealed envelope where those on duty find it. It works while the OpenID provider is out of reach, and
    where local accounts are switched off. Whoever logs in with it has to give a reason for emergency access, which is
    recorded. It is good for 24 hours after its first use: then give this command again.
    """
    from patchclip_node.bootstrap.common import open_clock, open_ledger
    from patchclip_node.services.passwords import hashed, new_code

    _refuse_bad_name(name)
    ledger = open_ledger(read_settings(config))
    try:
        present = ledger.accounts.find(name)
        if present is not None and present.role is not Role.SEALED:
            complain(f"{name!r} is an account of a person, with the role {present.role}: take another name")
            raise typer.Exit(EXIT_FAILURE)
        code = new_code()
        account = Account(name, Role.SEALED, hashed(code), open_clock(ledger).now())
        ledger.accounts.seal(account, _told(account.created_at, name, "was sealed, with a new code"))
    finally:
        ledger.close()
    typer.echo(f"name: {name}\ncode: {code}")
    typer.echo("This is shown once. Seal it in an envelope, and note where that lies.", err=True)


@app.command("list")
def list_users(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the accounts."""
    with existing_ledger(read_settings(config)) as ledger:
        accounts = ledger.accounts.all()
    if as_json:
        print_json([_values(account) for account in accounts])
        return
    if not accounts:
        typer.echo("there is no account: the pages are open to whoever is on this machine")
        return
    table = Table()
    for column in ("name", "role", "made (UTC)", "state"):
        table.add_column(column)
    for account in accounts:
        table.add_row(Text(account.name), account.role.value, _moment(account.created_at), _state(account))
    console().print(table)


@app.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let an account log in no more, and end its sessions at once."""
    from patchclip_node.bootstrap.common import open_clock

    with existing_ledger(read_settings(config)) as ledger:
        known = ledger.accounts.disable(name, _told(open_clock(ledger).now(), name, "was disabled"))
    if not known:
        _complain_unknown(name)
    typer.echo(f"{name} is disabled, and its sessions have ended")


@app.command()
def password(name: NameArgument, config: ConfigOption = None, password_stdin: StdinOption = False) -> None:
    """Give an account another password, and end its sessions at once."""
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.services.passwords import hashed

    with existing_ledger(read_settings(config)) as ledger:
        account = ledger.accounts.find(name)
        if account is None:
            _complain_unknown(name)
        if account.role is Role.SEALED:
            complain(
                f"{name!r} is an emergency account: `patchclip-node users break-glass {name}` gives it another code"
            )
            raise typer.Exit(EXIT_FAILURE)
        password_hash = hashed(_new_password(name, from_stdin=password_stdin))
        told = _told(open_clock(ledger).now(), name, "was given another password")
        ledger.accounts.set_password(name, password_hash, told)
    typer.echo(f"{name} has another password, and its sessions have ended")


def _told(at: datetime, name: str, what: str) -> AuditEvent:
    """Return what the audit trail tells of a change of an account."""
    said, about = f"the account {name} {what}", events.account_object(name)
    return events.alert(codes.USER_ATTRIBUTES_CHANGED, at, events.CLI, said, shell_user(), Outcome.SUCCESS, about)


def _refuse_bad_name(name: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise typer.BadParameter("a name has up to 64 of a-z, 0-9 and . _ @ -, and begins with a letter or a digit")


def _new_password(name: str, *, from_stdin: bool) -> str:
    from patchclip_node.services.passwords import refusal

    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        given = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Once more: ") != given:
            raise ConfigurationError("the two passwords differ: give the command again")
    else:
        raise ConfigurationError("there is no terminal to ask for a password: use --password-stdin")
    if why := refusal(name, given):
        raise ConfigurationError(f"{why}: choose another one")
    return given


def _complain_unknown(name: str) -> NoReturn:
    complain(f"there is no account {name!r}; `patchclip-node users list` shows what there is")
    raise typer.Exit(EXIT_FAILURE)


def _values(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role.value,
        "created_at": account.created_at,
        "disabled": account.disabled,
        "opened_at": account.opened_at,
    }


def _state(account: Account) -> str:
    if account.disabled:
        return "disabled"
    if account.role is Role.SEALED:
        return f"seal opened {_moment(account.opened_at)}" if account.opened_at else "sealed"
    return "may log in"


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S")
