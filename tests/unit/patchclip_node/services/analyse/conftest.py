"""A bench on which studies are analysed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bench import Bench
from tests.support.fakes import MemorySpool, make_ledger


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    ledger = make_ledger(tmp_path)
    yield Bench(tmp_path, ledger, MemorySpool(tmp_path / "spool"))
    ledger.close()
