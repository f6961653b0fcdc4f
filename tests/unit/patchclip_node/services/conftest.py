"""The services' world, made of fakes and a ledger in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from tests.support.fakes import FakeClock, FakeQueue, FakeSender, MemorySpool, make_ledger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def spool(tmp_path: Path) -> MemorySpool:
    return MemorySpool(tmp_path / "spool")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    yield ledger
    ledger.close()
