"""What a study costs each part of a node: processor time of one study of one image, and of its model alone.

    python -m benchmarks.study_costs [--studies 20] [--px 2500 2048] [--model demo]

A burst of studies goes through a whole node (`serve`) with DCMTK's storescp behind it; the processor time of each
process is read before and after. The model computes in one thread, there and in this process, where it analyses the
same image alone: what the worker uses beyond that decodes nothing, and draws, builds and stores results.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil
import torch

from benchmarks.at_rest import named, used_s
from benchmarks.sustained import studies_a_second
from benchmarks.tables import Row, keep, markdown
from patchclip_core.checkpoints import checkpoint
from patchclip_core.io import read_radiograph
from patchclip_core.memory import keep_freed_memory
from tests.peers.dcmtk import storescp
from tests.peers.node import new_node
from tests.peers.radiographs import radiograph, write

_BARE_ANALYSES = 9


def model_ms(model: str, image: Path) -> float:
    """Return the processor time of an analysis in one thread, the median."""
    keep_freed_memory()
    torch.set_num_threads(1)
    analyzer, radiograph_ = checkpoint.load(model, "cpu"), read_radiograph(image)
    analyzer.analyze_batch([radiograph_])
    used = []
    for _ in range(_BARE_ANALYSES):
        began_s = time.process_time()
        analyzer.analyze_batch([radiograph_])
        used.append(time.process_time() - began_s)
    return 1000 * statistics.median(used)


def process_ms(folder: Path, model: str, studies: int, rows: int, columns: int) -> tuple[dict[str, float], float]:
    """Send studies through a node; return the processor time of a study by process, and the studies a second."""
    with storescp(folder / "archive") as archive:
        node = new_node(
            folder / "node",
            [archive.destination],
            model=model,
            receivers=None,
            quiet_s=1.0,
            sweep_s=1.0,
            lease_s=60.0,
            workers=1,
        )
        node.environment["OMP_NUM_THREADS"] = "1"
        with node.running() as parent:
            studies_a_second(node, folder, 2, rows, columns)
            tree = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
            before = {one: used_s(one) for one in tree}
            a_second = studies_a_second(node, folder, studies, rows, columns)
            used: dict[str, float] = {}
            for one in tree:
                part = named(one).partition("-")[0]
                used[part] = used.get(part, 0.0) + used_s(one) - before[one]
        node.processes.clear()
    return {name: 1000 * seconds / studies for name, seconds in used.items()}, a_second


def rows_of(used_ms: dict[str, float], model: float, a_second: float) -> list[Row]:
    """Return a row for each part, the model apart from the rest of its worker, then their sum."""
    parts = {"work, model": model, "work, the rest": used_ms["work"] - model}
    parts |= {name: used for name, used in used_ms.items() if name != "work"}
    rows: list[Row] = [{"part": part, "CPU ms a study": round(used)} for part, used in parts.items()]
    return [*rows, {"part": f"all, {a_second:.2f} studies/s", "CPU ms a study": round(sum(parts.values()))}]


def main() -> None:
    """Measure both; print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--px", type=int, nargs=2, default=[2500, 2048], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        bare = model_ms(given.model, write(radiograph(rows=given.px[0], columns=given.px[1]), folder / "one.dcm"))
        used, a_second = process_ms(folder, given.model, given.studies, *given.px)
    rows = rows_of(used, bare, a_second)
    print(markdown(rows))
    keep(rows, given.json)


if __name__ == "__main__":
    main()
