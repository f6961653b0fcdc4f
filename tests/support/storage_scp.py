"""Fixtures: a storage SCP that a test starts, with what keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.scp.storage_scp import Endpoint, StorageScp
from tests.support.scp import OPEN, KeepingReceiver, close_associations, room


@pytest.fixture
def receiver(tmp_path: Path) -> KeepingReceiver:
    folder = tmp_path / "kept"
    folder.mkdir()
    return KeepingReceiver(folder)


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def start(receiver: KeepingReceiver, incoming: Path) -> Iterator[Callable[..., StorageScp]]:
    running: list[StorageScp] = []

    def begin(**settings: Any) -> StorageScp:
        scp = StorageScp(receiver, room(incoming), Endpoint("NODE", "127.0.0.1", 0), replace(OPEN, **settings))
        scp.start()
        running.append(scp)
        return scp

    yield begin
    for scp in running:
        scp.stop(grace_s=0)
    close_associations()


__all__ = ["incoming", "receiver", "start"]
