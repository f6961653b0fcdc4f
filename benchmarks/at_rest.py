"""What a node costs that has nothing to do: how long its processes take to start, and their processor time and memory.

    python -m benchmarks.at_rest [--seconds 60] [--model demo]

A whole node (`serve`) that was never sent anything. Processor time is that of each process over a time without work, as
a share of one core; the first seconds after the start do not count. Then a worker alone: how long until a study would
be analysed, the median of five starts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.tables import Row, keep, markdown
from patchclip_node.bootstrap.readiness import ReadyBoard
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until

_SETTLING_S = 10.0
"""How long a node that has just started goes on with what belongs to its start."""

_STARTS = 5


def named(process: psutil.Process) -> str:
    """Return which of the node's commands a process runs; `receive-2` is who helps the receiver."""
    words = process.cmdline()
    if "patchclip_node.bootstrap.helping" in words:
        return "receive-2"
    for command in ("serve", "receive", "work", "deliver", "web"):
        if command in words:
            return command
    return "decoding" if any("decoding" in word for word in words) else Path(words[0]).name if words else "?"


def used_s(process: psutil.Process) -> float:
    """Return the processor time of a process itself."""
    times = process.cpu_times()
    return float(times.user + times.system)


def at_rest(node: Node, seconds: float) -> list[Row]:
    """Start a node, leave it alone, and return what its processes used; the last row is the whole tree."""
    began_s = time.monotonic()
    with node.running() as parent:
        wait_until(lambda: "ready:" in node.log, "the node is ready", 180)
        ready_s = time.monotonic() - began_s
        time.sleep(_SETTLING_S)
        tree = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
        before = {one: used_s(one) for one in tree}
        time.sleep(seconds)
        used = {one: used_s(one) - before[one] for one in tree}
        rows: list[Row] = [
            {
                "process": named(one),
                "% of a core": round(100 * used[one] / seconds, 2),
                "memory, MB": round(one.memory_info().rss / 1e6),
                "private memory, MB": round(one.memory_full_info().uss / 1e6),
            }
            for one in tree
        ]
    node.processes.clear()
    whole: Row = {
        "process": f"all, ready after {ready_s:.1f} s",
        **{
            name: round(sum(float(row[name]) for row in rows), 2)
            for name in ("% of a core", "memory, MB", "private memory, MB")
        },
    }
    return [*rows, whole]


def ready_s(node: Node, command: str) -> float:
    """Return how long one of a node's commands takes until it says that it does its work."""
    board = ReadyBoard((command,))
    with board:
        began_s = time.monotonic()
        with node.running(command):
            wait_until(board.hear, f"{command} is ready", 60, every_s=0.01)
            took_s = time.monotonic() - began_s
    node.processes.clear()
    return took_s


def main() -> None:
    """Run a node, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        settings = {"model": given.model, "receivers": None, "quiet_s": 5.0, "sweep_s": 2.0, "lease_s": 60.0}
        node = new_node(Path(name).resolve() / "node", (), **settings)
        rows = at_rest(node, given.seconds)  # with all settings as by default
        alone_s = statistics.median(ready_s(node, "work") for _ in range(_STARTS))
    rows.append(dict.fromkeys(rows[0], "") | {"process": f"a worker alone, ready after {alone_s:.2f} s"})
    print(markdown(rows))
    keep(rows, given.json)


if __name__ == "__main__":
    main()
