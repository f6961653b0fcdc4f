"""A spool in OpenStack Swift: it keeps the contract of spools, and what it took outlives each kill of the store."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from patchclip_node.adapters.s3 import S3Spool, S3Store
from patchclip_node.cli.check_result import Status
from patchclip_node.cli.checks import run_check
from patchclip_node.cli.spool_checks import spool_store
from patchclip_node.domain.errors import SpoolUnavailableError
from patchclip_node.ports.spool import StoredFile
from patchclip_node.settings import read_settings
from tests.endurance.scale import Scale
from tests.peers.hosts import ADDRESSES, Host, Network
from tests.peers.processes import wait_until
from tests.peers.swift import Swift, new_swift
from tests.support.spool_contract import SpoolContract

pytestmark = [
    pytest.mark.long_only,
    pytest.mark.allow_hosts([ADDRESSES]),
    *(pytest.mark.peer(one) for one in ("hosts", "swift")),
]

KILLS, WRITERS = 10, 4
RUNS_S, DOWN_S = (0.5, 3.0), 1.0
OPEN_AGAIN_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Swift]]:
    folder, network = tmp_path_factory.mktemp("store"), Network()
    host = network.host("store", folder / "host")
    swift = new_swift(folder / "swift", host.address)
    host.programs.extend(swift.programs)
    with network.running():
        host.start()
        wait_until(swift.is_open, "the store answers")
        yield host, swift


@pytest.fixture
def store(running: tuple[Host, Swift]) -> S3Store:
    return S3Store(running[1].place(f"{uuid.uuid4().hex}/"))


@pytest.fixture
def spool(store: S3Store, tmp_path: Path) -> S3Spool:
    return S3Spool(tmp_path / "spool", 0, store, 1024**3)


def answers(store: S3Store) -> bool:
    """Say whether it does now."""
    with suppress(SpoolUnavailableError):
        store.ask()
        return True
    return False


class TestSwift(SpoolContract):
    pass


def test_what_the_store_has_taken_outlives_its_kills(
    running: tuple[Host, Swift], store: S3Store, spool: S3Spool, scale: Scale, tmp_path: Path
) -> None:
    host, _ = running
    ended, chance, refused = Event(), scale.chance(), 0

    def write(number: int) -> list[tuple[StoredFile, bytes]]:
        nonlocal refused
        taken: list[tuple[StoredFile, bytes]] = []
        while not ended.is_set():
            content = hashlib.sha256(f"{number} {len(taken)}".encode()).digest() * (1 + 7919 * len(taken) % 30_000)
            with suppress(SpoolUnavailableError):
                taken.append((spool.write([content]), content))
                continue
            refused += 1
            time.sleep(0.1)
        return taken

    away_s = []
    with ThreadPoolExecutor(WRITERS) as threads:
        writers = [threads.submit(write, number) for number in range(WRITERS)]
        try:
            for _ in range(KILLS):
                time.sleep(chance.uniform(*RUNS_S))
                host.kill()
                time.sleep(DOWN_S)
                host.start()
                began_s = time.monotonic()
                wait_until(lambda: answers(store), "the store answers again", OPEN_AGAIN_WITHIN_S)
                away_s.append(time.monotonic() - began_s)
        finally:
            ended.set()
        taken = [one for writer in writers for one in writer.result()]

    reader = S3Spool(tmp_path / "reader", 0, store, cache_bytes=0)
    for stored, content in taken:
        with reader.local_path(stored.key) as path:
            assert path.read_bytes() == content
    scale.say(
        f"{KILLS} kills: {len(taken)} objects taken and found, {refused} writes refused, back after at most "
        f"{max(away_s):.0f} s"
    )


def test_doctor_says_which_setting_it_needs(running: tuple[Host, Swift], tmp_path: Path) -> None:
    _, swift = running
    given = swift.settings(tmp_path, "doctor")

    (well,) = run_check(spool_store, read_settings(None, data_dir=tmp_path, spool=given))
    (refused,) = run_check(
        spool_store, read_settings(None, data_dir=tmp_path, spool=given | {"conditional_create": True})
    )

    assert well.status is Status.OK, well.detail
    assert refused.status is Status.FAIL
    assert "spool.conditional_create: false" in refused.advice
    assert swift.names("doctor") == []
