"""How many studies a second a node carries through, against the images a second of its bare model on the same cores.

    python -m benchmarks.sustained [--studies 120] [--repeats 3] [--px 2500 2048] [--model demo]

A burst of studies of one image is sent to a whole node (`serve`), with DCMTK's storescp behind it; the time runs from
the first lease to the last confirmed result, by the ledger's own events. (Of a short burst much is received before.)
The bare model analyses as many decoded radiographs in this process, one after another. Both in turns; medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.tables import Row, keep, markdown
from patchclip_core.checkpoints import checkpoint
from patchclip_core.io import read_radiograph
from patchclip_core.memory import keep_freed_memory
from patchclip_core.values.results import Analyzer, Radiograph
from patchclip_node.domain.states import StudyEvent
from tests.peers.dcmtk import storescp, storescu
from tests.peers.node import Node, new_node
from tests.peers.radiographs import radiograph, write


def studies_a_second(node: Node, folder: Path, studies: int, rows: int, columns: int) -> float:
    """Send studies over one association; return how many a second the node brought to their end."""
    paths, uids = [], []
    for number in range(studies):
        image = radiograph(rows=rows, columns=columns)
        paths.append(write(image, folder / f"{number}.dcm"))
        uids.append(str(image.StudyInstanceUID))
    sent = storescu(node.port, *paths)
    assert sent.returncode == 0, sent.stderr
    # To look costs as much as the node's own work for a study: seldom, since the ledger has the moments.
    ended = node.wait_for_end_of(uids, timeout_s=60 + 10 * studies, every_s=2.0)
    with node.ledger() as ledger:
        events = [event for uid in uids for event in ledger.studies.events(ended[uid].id)]
    begun = min(event.at for event in events if event.event is StudyEvent.LEASED)
    over = max(event.at for event in events if event.event is StudyEvent.ALL_DELIVERED)
    return studies / (over - begun).total_seconds()


def images_a_second(model: Analyzer, image: Radiograph, images: int) -> float:
    """Return how many images a second the model alone analyses."""
    began_s = time.perf_counter()
    for _ in range(images):
        model.analyze_batch([image])
    return images / (time.perf_counter() - began_s)


def main() -> None:
    """Run both, in turns; print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--px", type=int, nargs=2, default=[2500, 2048], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    through, bare = [], []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        keep_freed_memory()  # as the worker does
        model = checkpoint.load(given.model, "cpu")
        image = read_radiograph(write(radiograph(rows=given.px[0], columns=given.px[1]), folder / "one.dcm"))
        images_a_second(model, image, 2)
        with storescp(folder / "archive") as archive:
            defaults = {"model": given.model, "receivers": None, "quiet_s": 1.0, "sweep_s": 1.0, "lease_s": 60.0}
            node = new_node(folder / "node", [archive.destination], **defaults)
            node.environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # as many as the bare model has
            with node.running():
                studies_a_second(node, folder, 2, *given.px)
                for _ in range(given.repeats):
                    through.append(studies_a_second(node, folder, given.studies, *given.px))
                    bare.append(images_a_second(model, image, given.studies))
            node.processes.clear()
    rows: list[Row] = [
        {
            "studies": given.studies,
            "studies/s through the node": round(statistics.median(through), 2),
            "images/s of the bare model": round(statistics.median(bare), 2),
            "ratio": round(statistics.median(through) / statistics.median(bare), 2),
        }
    ]
    print(markdown(rows))
    keep(rows, given.json)


if __name__ == "__main__":
    main()
