"""The command line as a test calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.cli import main
from tests.support.fakes import make_ledger

BRIGHT = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose data folder is its own."""
    path = tmp_path / "node.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """The ledger of `config`."""
    (tmp_path / "data").mkdir()
    ledger = make_ledger(tmp_path / "data")
    yield ledger
    ledger.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """Run `patchclip-node ARGUMENTS` in this process, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o022)  # the program has its own, which the tests after this one must not inherit

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr("sys.argv", ["patchclip-node", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        captured = capsys.readouterr()
        code = exit_info.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)

    yield run
    os.umask(umask)
