"""What a worker costs on ONNX Runtime beside PyTorch: seconds an image, memory, and seconds until it is ready.

    python -m benchmarks.runtimes [--model demo] [--threads 1] [--repeats 9]

Exports the model, then starts two processes that import what a worker imports, load the model of one side each, and
warm it up. They analyse the same radiograph in turns, the other one idle, so that a busy machine slows both alike.
Memory is resident: the most that it was, and what stays when the images are done. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil

import patchclip_node.bootstrap.worker  # noqa: F401 - a worker holds all of it
from patchclip_core.inference.warming import warm_up
from patchclip_core.values.results import Radiograph
from patchclip_node.bootstrap.model import load_analyzer
from patchclip_node.settings import NodeSettings

ROWS, COLUMNS = 2500, 2048
"""A usual digital radiograph."""


class Side:
    """A process with one of the two models."""

    def __init__(self, name: str, model: str, threads: int) -> None:
        self.name = name
        self.seconds: list[float] = []
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runtimes", "--worker", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self._answer()
        self.ready_s = time.perf_counter() - started

    def analyse(self) -> None:
        """Let it analyse the radiograph once more."""
        assert self._process.stdin is not None
        self._process.stdin.write("analyse\n")
        self._process.stdin.flush()
        self.seconds.append(float(self._answer()))

    @property
    def held_mib(self) -> float:
        """The memory that it has now."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    @property
    def most_mib(self) -> float:
        """The most memory that it ever had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"the process of {self.name} has ended with status {self._process.wait()}")
        return line


def work(model: str) -> None:
    """Be a worker without a queue: analyse the radiograph for each line of standard input, and say how long it took."""
    analyzer = load_analyzer(NodeSettings(model=model, device="cpu"))
    warm_up(analyzer)
    coarse = np.random.default_rng(0).random((ROWS // 100, COLUMNS // 64), dtype=np.float32)
    radiograph = Radiograph(np.kron(coarse, np.ones((100, 64), dtype=np.float32)))
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        analyzer.analyze_batch([radiograph])
        print(time.perf_counter() - started, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        exported = str(Path(folder) / "exported")
        export = [sys.executable, "-m", "patchclip_core.checkpoints.onnx", given.model, exported]
        subprocess.run(export, check=True, capture_output=True)
        sides = [
            Side(name, model, given.threads) for name, model in (("ONNX Runtime", exported), ("PyTorch", given.model))
        ]
        for side in sides:
            ends.callback(side.end)
        for _ in range(given.repeats):
            for side in sides:
                side.analyse()
        medians = [statistics.median(side.seconds) for side in sides]
        print(f"{given.model}, {given.threads} thread(s), an image of {COLUMNS} x {ROWS}, {given.repeats} in turns\n")
        print("| what | ONNX Runtime | PyTorch | ratio |\n|---|---|---|---|")
        for what, unit, (one, other) in (
            ("an image, median", "ms", [1000 * median for median in medians]),
            ("an image, best", "ms", [1000 * min(side.seconds) for side in sides]),
            ("memory at most", "MiB", [side.most_mib for side in sides]),
            ("memory held after it", "MiB", [side.held_mib for side in sides]),
            ("until it is ready", "s", [side.ready_s for side in sides]),
        ):
            print(f"| {what} | {one:.3g} {unit} | {other:.3g} {unit} | {one / other:.2f} |")


if __name__ == "__main__":
    main()
