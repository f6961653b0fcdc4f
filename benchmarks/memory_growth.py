"""Whether any process of a node keeps memory: its size against the studies that went through, as a slope.

    python -m benchmarks.memory_growth [--studies 10000] [--batch 50] [--px 128 96] [--model FOLDER] [--samples FILE]
    python -m benchmarks.memory_growth --of FILE

Studies of one small image go through a whole node (`serve`) in batches, with DCMTK's storescp behind it, which keeps
nothing. After each batch the memory that belongs to each process alone is read. The first fifth of the studies is left
out, while caches and pools fill. A slope is a regression over means of `--blocks` blocks, since what follows closely is
alike; its interval is of 95 % (Student's t). By default the model is the one of the tests, which marks bright pixels
and takes no time: ten thousand studies then take an hour. `--samples` keeps what was read after each batch, and `--of`
reckons with what such a file has, also of a run that was broken off.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import ArrayLike
from scipy import stats

from benchmarks.at_rest import named
from benchmarks.tables import Row, keep, markdown
from patchclip_core.terminal import progress
from patchclip_node.domain.states import FINAL_STATES
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender
from tests.peers.dcmtk import storescp
from tests.peers.node import PLUGINS, Node, new_node
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write

_LEFT_OUT: Final = 0.2
"""Of the studies: what is taken on the way to a steady state."""
_MB: Final = 1e6
_A_THOUSAND: Final = 1000


@dataclass(frozen=True, slots=True)
class Slope:
    """MB that a process grows by with 1,000 studies, and its interval of 95 %."""

    mb: float
    low: float
    high: float


def slope(studies: ArrayLike, mb: ArrayLike, blocks: int) -> Slope:
    """Return the slope of memory over studies, from means of blocks of what was read."""
    x, y = (np.array([part.mean() for part in np.array_split(np.asarray(one), blocks)]) for one in (studies, mb))
    if np.ptp(y) == 0:
        return Slope(0.0, 0.0, 0.0)
    fitted = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, blocks - 2)) * fitted.stderr
    at = (fitted.slope, fitted.slope - half, fitted.slope + half)
    return Slope(*(float(_A_THOUSAND * one) for one in at))


def read_mb(tree: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the memory that belongs to each process alone, in MB."""
    return {name: process.memory_full_info().uss / _MB for name, process in tree.items()}


def through(node: Node, folder: Path, batch: int, px: tuple[int, int]) -> None:
    """Send a batch of studies and wait until all that the node has are over."""
    paths = [write(radiograph(rows=px[0], columns=px[1], bright=True), folder / f"{one}.dcm") for one in range(batch)]
    sent = DicomResultSender("MODALITY").send(Destination("node", "PATCHCLIP", "127.0.0.1", node.port), paths)
    assert all(one.error is None for one in sent), sent
    with node.ledger() as ledger:

        def over() -> bool:
            counts = ledger.workload.counts().studies_by_state
            return all(state in FINAL_STATES for state, count in counts.items() if count)

        wait_until(over, "all studies are over", 600, every_s=0.5)


def rows_of(studies: Sequence[int], read: Mapping[str, Sequence[float]], blocks: int) -> list[Row]:
    """Return a row for each process."""
    first = int(len(studies) * _LEFT_OUT)
    rows: list[Row] = []
    for name, mb in read.items():
        grows = slope(studies[first:], mb[first:], blocks)
        rows.append(
            {
                "process": name,
                "at the beginning, MB": round(mb[first]),
                "at the end, MB": round(mb[-1]),
                "MB for 1,000 studies": f"{grows.mb:+.2f} [{grows.low:+.2f}, {grows.high:+.2f}]",
            }
        )
    return rows


def main() -> None:
    """Read or send, reckon, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--px", type=int, nargs=2, default=[128, 96], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--model", default=str(PLUGINS / "bright_checkpoint"))
    parser.add_argument("--samples", type=Path, help="a file of JSON lines, to which each reading is added")
    parser.add_argument("--of", type=Path, help="such a file, instead of a run")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    done, read = kept_in(given.of) if given.of else readings(given)
    rows = rows_of(done, read, given.blocks)
    print(markdown(rows))
    keep(rows, given.json)


def kept_in(file: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Return the numbers of studies and, of each process, the readings that a file of samples has."""
    samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [one["studies"] for one in samples], {
        name: [one["MB"][name] for one in samples] for name in samples[0]["MB"]
    }


def readings(given: argparse.Namespace) -> tuple[list[int], dict[str, list[float]]]:
    """Send, and read after each batch; the same as `kept_in` returns."""
    read: dict[str, list[float]] = defaultdict(list)
    done: list[int] = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        with storescp(folder / "archive", "--ignore") as archive:
            settings = {"model": given.model, "receivers": None, "lease_s": 60.0, "workers": 1}
            node = new_node(folder / "node", [archive.destination], **settings)
            with node.running() as parent:
                wait_until(lambda: "ready:" in node.log, "the node is ready", 180)
                started = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
                tree = {named(one): one for one in started}
                with progress("through the node", "studies") as show:
                    for gone in range(given.batch, given.studies + 1, given.batch):
                        through(node, folder, given.batch, tuple(given.px))
                        done.append(gone)
                        for process, mb in (now := read_mb(tree)).items():
                            read[process].append(mb)
                        if given.samples is not None:
                            with given.samples.open("a", encoding="utf-8") as samples:
                                samples.write(f"{json.dumps({'studies': gone, 'MB': now})}\n")
                        show(gone, given.studies)
            node.processes.clear()
    return done, read


if __name__ == "__main__":
    main()
