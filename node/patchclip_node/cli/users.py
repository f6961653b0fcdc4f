"""`users add | list | disable | password`: who may log in to the pages."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from patchclip_core.terminal import EXIT_FAILURE, console
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, print_json
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

if TYPE_CHECKING:
    from datetime import datetime

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Say who may log in to the status pages, and as what."
)

_NAME = r"[a-z0-9][a-z0-9._@-]{0,63}"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.", show_default=False)]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, not from the terminal.")
]


@app.command()
def add(
    name: NameArgument,
    role: Annotated[Role, typer.Option("--role", "-r", help="What the person may do.")],
    config: ConfigOption = None,
    password_stdin: StdinOption = False,
) -> None:
    """Make an account. The first one closes the pages to whoever does not log in."""
    import re

    from patchclip_node.bootstrap.common import open_clock, open_ledger
    from patchclip_node.services.passwords import hashed

    if not re.fullmatch(_NAME, name):
        raise typer.BadParameter("a name has up to 64 of a-z, 0-9 and . _ @ -, and begins with a letter or a digit")
    ledger = open_ledger(read_settings(config))
    try:
        password_hash = hashed(_new_password(name, from_stdin=password_stdin))
        account = Account(name, role, password_hash, open_clock(ledger).now())
        if not ledger.accounts.add(account):
            complain(
                f"there is an account {name!r} already; `patchclip-node users password {name}` changes its password"
            )
            raise typer.Exit(EXIT_FAILURE)
    finally:
        ledger.close()
    typer.echo(f"{name} may log in as {role}")


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
        state = "disabled" if account.disabled else "may log in"
        table.add_row(Text(account.name), account.role.value, _moment(account.created_at), state)
    console().print(table)


@app.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let an account log in no more, and end its sessions at once."""
    with existing_ledger(read_settings(config)) as ledger:
        known = ledger.accounts.disable(name)
    if not known:
        _complain_unknown(name)
    typer.echo(f"{name} is disabled, and its sessions have ended")


@app.command()
def password(name: NameArgument, config: ConfigOption = None, password_stdin: StdinOption = False) -> None:
    """Give an account another password, and end its sessions at once."""
    from patchclip_node.services.passwords import hashed

    with existing_ledger(read_settings(config)) as ledger:
        if ledger.accounts.find(name) is None:
            _complain_unknown(name)
        ledger.accounts.set_password(name, hashed(_new_password(name, from_stdin=password_stdin)))
    typer.echo(f"{name} has another password, and its sessions have ended")


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


def _complain_unknown(name: str) -> None:
    complain(f"there is no account {name!r}; `patchclip-node users list` shows what there is")
    raise typer.Exit(EXIT_FAILURE)


def _values(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role.value,
        "created_at": account.created_at,
        "disabled": account.disabled,
    }


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S")
