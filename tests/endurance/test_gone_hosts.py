"""A host that is cut off as it writes, and a database server that is: how long others wait for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.adapters.ledger.database import GONE_AFTER_S
from patchclip_node.domain.errors import LedgerUnavailableError
from tests.peers.hosts import ADDRESSES, Host, Network, Program
from tests.peers.postgresql import new_postgresql, user
from tests.peers.processes import wait_until
from tests.support.fakes import make_instance

pytestmark = [
    pytest.mark.long_only,
    pytest.mark.allow_hosts([ADDRESSES]),
    pytest.mark.peer("hosts"),
    pytest.mark.peer("postgresql"),
]

NOTICED_WITHIN_S = GONE_AFTER_S + 10.0
WRITER = """
import sys, time
from patchclip_node.adapters.ledger.database import Database
with Database(sys.argv[1]).write() as connection:
    connection.exec_driver_sql("SELECT 1")
    print("writes", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        with made.running():
            yield made
    except PermissionError as error:
        pytest.skip(f"namespaces need root: {error}")


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[tuple[Host, str]]:
    host = network.host("postgresql", tmp_path / "postgresql")
    with new_postgresql(host.address, f"{network.subnet}.0/24") as postgresql:
        host.programs.append(Program(postgresql.command(), user=user()))
        host.start()
        postgresql.wait()
        url = postgresql.url(postgresql.create_database())
        migrate(url)
        yield host, url
        host.kill()


def test_a_server_that_is_cut_off_is_missed_soon(server: tuple[Host, str]) -> None:
    host, url = server
    ledger = SqlLedger(url)
    ledger.arrivals.record(make_instance("1.1"))

    host.cut()
    began_s = time.monotonic()
    with pytest.raises(LedgerUnavailableError):
        ledger.arrivals.record(make_instance("1.2"))

    assert time.monotonic() - began_s < 2 * NOTICED_WITHIN_S  # an idle connection first, and then another one
    host.mend()
    ledger.arrivals.record(make_instance("1.3"))
    ledger.close()


def test_a_host_that_is_cut_off_as_it_writes_holds_the_others_up_shortly(
    network: Network, server: tuple[Host, str], tmp_path: Path
) -> None:
    _, url = server
    ledger = SqlLedger(url)
    arguments = [sys.executable, "-c", WRITER, url]
    path = {"PYTHONPATH": str(Path(__file__).parents[2] / "node")}
    writers = [network.host(name, tmp_path / name, [Program(arguments, path)]) for name in ("first", "second")]
    for writer in writers:  # the second one waits for the first
        writer.start()
        time.sleep(0.5)
    wait_until(lambda: any("writes" in one.log for one in writers), "one of them writes")
    time.sleep(5)  # the other one waits

    for writer in writers:
        writer.kill()
    began_s = time.monotonic()
    ledger.arrivals.record(make_instance("1.1"))

    assert time.monotonic() - began_s < NOTICED_WITHIN_S
    ledger.close()
