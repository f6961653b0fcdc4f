"""The command line as a whole: it answers at once, and an expected error is one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patchclip_core.errors import CheckpointError
from patchclip_node.domain.errors import ConfigurationError, LedgerUnavailableError
from patchclip_node.product import PRODUCT_VERSION
from tests.unit.patchclip_node.cli.conftest import Command


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serve",),
        ("receive",),
        ("work",),
        ("deliver",),
        ("web",),
        ("analyze",),
        ("render",),
        ("doctor",),
        ("demo",),
        ("studies",),
        ("studies", "list"),
        ("studies", "show"),
        ("studies", "requeue"),
        ("config",),
        ("config", "check"),
        ("config", "show"),
    ],
)
def test_every_command_has_help(command: Command, arguments: tuple[str, ...]) -> None:
    ended = command(*arguments, "--help")

    assert ended.status == 0
    assert "Usage: patchclip-node" in ended.out


def test_the_version_is_told(command: Command) -> None:
    assert PRODUCT_VERSION in command("--version").out


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, patchclip_node.cli;"
        "heavy = {'torch', 'pydicom', 'pynetdicom', 'highdicom', 'celery', 'sqlalchemy', 'starlette'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["serve", "receive", "work", "deliver", "web"])
def test_a_process_refuses_a_wrong_configuration_with_one_message(command: Command, name: str, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("prot: 104\n")

    ended = command(name, "--config", config)

    assert ended.status == 2
    assert "prot: the configuration has no key 'prot'; 'port' may be meant" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigurationError("a"), 2), (CheckpointError("a"), 2), (LedgerUnavailableError("a"), 1)],
)
def test_expected_errors_become_one_line_and_an_exit_status(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("patchclip_node.bootstrap.receiver.run", refuse)

    ended = command("receive")

    assert (ended.status, ended.err) == (status, "patchclip-node: a\n")
