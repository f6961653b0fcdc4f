"""What TLS and the audit trail cost the receiver: the same images to the same node, with and without, in turns.

    python -m benchmarks.tls [--images 20] [--associations 30] [--repeats 5]

The sender is DCMTK's storescu, both sides are on loopback, and everything is durable: run it on a real disk. Two loads:
many images of 10 MB over one association, and small ones over an association each, where handshakes and events weigh.
Measured is the time until all studies are complete: each of them is then told. With audit a second process carries the
events to the node's files and, over TLS, to rsyslog, on the same cores. Prints figures as Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.without_audit import without_audit
from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.ledger import SqlLedger
from tests.peers.processes import free_port, program, wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.rsyslog import Rsyslog, new_rsyslog
from tests.support.certificates import Authority

PLAIN, AUDITED, BOTH = "plain, without audit", "plain, with audit", "TLS and audit"
"""What is measured; all is a ratio to the first."""


@dataclass(frozen=True, slots=True)
class Way:
    """A receiver that runs, and what storescu needs for it."""

    ledger: SqlLedger
    port: int
    options: tuple[str, ...]
    audits: bool
    receiver: psutil.Process

    def cpu_s(self) -> float:
        """Return how much processor time the receiver has used: that depends least on what else the machine does."""
        used = self.receiver.cpu_times()
        return float(used.user + used.system)


@contextlib.contextmanager
def way(
    folder: Path, tls: dict[str, str] | None, audit: dict[str, Any] | None, options: tuple[str, ...]
) -> Iterator[Way]:
    """Run a separate receiver, and with `audit` what carries its events on."""
    folder.mkdir()
    port = free_port()
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder / "var"),
        "limits": {"min_free_bytes": 0},
        "tls": tls,
        "audit": audit or {},
        "log": {"level": "error"},
    }
    config = folder / "node.yaml"
    config.write_text(yaml.safe_dump(settings))
    module = "patchclip_node" if audit else "benchmarks.without_audit"
    with contextlib.ExitStack() as running:
        receive = [sys.executable, "-m", module, "receive", "--config", str(config)]
        receiver = running.enter_context(program(receive, folder / "log", port=port))
        if audit:
            carry = [sys.executable, "-m", "patchclip_node", "deliver", "--config", str(config)]
            running.enter_context(program(carry, folder / "deliver.log"))
        ledger = running.enter_context(contextlib.closing(SqlLedger(f"sqlite:///{folder / 'var' / 'ledger.sqlite'}")))
        yield Way(ledger, port, options, audit is not None, psutil.Process(receiver.pid))


def seconds(to: Way, images: list[Path], associations: int) -> float:
    """Send, each image as a separate study, until all are complete; returns how long it took."""
    command = [
        "storescu",
        *("+IP", "1", "+IS", "1", "+IR", "1"),
        "-pdu",
        "131072",
        *to.options,
        "127.0.0.1",
        str(to.port),
        *map(str, images),
    ]
    began_s = time.monotonic()
    for _ in range(associations):
        subprocess.run(command, check=True, capture_output=True)
    with contextlib.nullcontext() if to.audits else without_audit():  # what a worker does when a study is quiet
        assert to.ledger.arrivals.close_quiet(SystemClock().now() + timedelta(days=1), 0)
    return time.monotonic() - began_s


def all_arrived(collector: Rsyslog, to: Way) -> int:
    """Wait until the collector has what was told; returns how many events that are."""
    wait_until(lambda: not any(one.waiting for one in to.ledger.audit.backlogs()), "the collector has all events", 120)
    return len(collector.messages())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--associations", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, contextlib.ExitStack() as running:
        folder = Path(name)
        authority = Authority(folder / "authority")
        node, modality = authority.issue("node"), authority.issue("modality")
        collector = new_rsyslog(folder / "rsyslog", authority, authority.issue("collector"), "node")
        running.enter_context(collector.running())
        files = {"certificate": str(node.certificate), "key": str(node.key), "ca": str(authority.ca)}
        audit = {"collector": {"host": "127.0.0.1", "port": collector.port, "tls": {"peer": "collector", **files}}}
        shown = ("+tls", str(modality.key), str(modality.certificate), "+cf", str(authority.ca))
        tls = {**files, "crl": str(authority.crl)}
        ways = {
            PLAIN: running.enter_context(way(folder / "plain", None, None, ())),
            AUDITED: running.enter_context(way(folder / "audited", None, audit, ())),
            BOTH: running.enter_context(way(folder / "both", tls, audit, shown)),
        }
        large = write(radiograph(rows=2500, columns=2048), folder / "large.dcm")
        small = write(radiograph(rows=64, columns=64), folder / "small.dcm")
        loads = {
            f"{given.images} images of {large.stat().st_size / 1e6:.1f} MB over one association": (
                [large] * given.images,
                1,
            ),
            f"{given.associations} associations with one image of {small.stat().st_size / 1e3:.0f} kB each": (
                [small],
                given.associations,
            ),
        }
        print(f"load of the machine: {os.getloadavg()[0]:.1f}; {given.repeats} times each, in turns")
        print(f"| load | {' | '.join(f'{one}, s' for one in ways)} | ratios |\n|---|---|---|---|---|")
        for load, (images, associations) in loads.items():
            times: dict[str, list[float]] = {one: [] for one in ways}
            used: dict[str, list[float]] = {one: [] for one in ways}
            for number in range(given.repeats + 1):
                for one, to in ways.items():
                    before_s = to.cpu_s()
                    took_s = seconds(to, images, associations)
                    if number:  # the first time warms up
                        times[one].append(took_s)
                        used[one].append(to.cpu_s() - before_s)
            for what, measured in (("", times), (", processor time of the receiver", used)):
                median = {one: statistics.median(each) for one, each in measured.items()}
                cells = [f"{median[one]:.2f} ({min(measured[one]):.2f} to {max(measured[one]):.2f})" for one in ways]
                ratios = ", ".join(f"{median[one] / median[PLAIN]:.2f}" for one in (AUDITED, BOTH))
                print(f"| {load}{what} | {' | '.join(cells)} | {ratios} |", flush=True)
        arrived = max(all_arrived(collector, ways[one]) for one in (AUDITED, BOTH))
        print(f"load of the machine: {os.getloadavg()[0]:.1f}; {arrived} audit messages are at the collector")


if __name__ == "__main__":
    main()
