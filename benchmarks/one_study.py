"""Where the time of one study goes, from its last byte to its last confirmed result, by the ledger's own events.

    python -m benchmarks.one_study [--studies 15] [--px 2500 2048] [--model demo]

A whole node (`serve`), DCMTK's storescu before it and storescp behind it, all on loopback, studies of one image sent
one after another while nothing else is due. Prints medians and the slowest as Markdown; the quiet time is taken off.
What the worker does is told by its own steps; *fixed costs* are all but decoding, model, and sending to the archive.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.tables import Row, keep, markdown
from patchclip_node.domain.records import EventRecord
from patchclip_node.domain.states import StudyEvent
from patchclip_node.services.study_summary import read_summary
from tests.peers.dcmtk import storescp, storescu
from tests.peers.node import Node, new_node
from tests.peers.radiographs import radiograph, write

QUIET_S = 1.5
STEPS = {
    "closed after its quiet time": (StudyEvent.INSTANCE_ARRIVED, StudyEvent.WENT_QUIET),
    "taken by the worker": (StudyEvent.WENT_QUIET, StudyEvent.LEASED),
    "worked on": (StudyEvent.LEASED, StudyEvent.ANALYSIS_FINISHED),
    "taken by the lane": (StudyEvent.ANALYSIS_FINISHED, StudyEvent.DELIVERY_STARTED),
    "sent and confirmed": (StudyEvent.DELIVERY_STARTED, StudyEvent.ALL_DELIVERED),
    "all": (StudyEvent.INSTANCE_ARRIVED, StudyEvent.ALL_DELIVERED),
}
OF_THE_WORK = {"decode": "decoded", "model": "analysed", "overlay": "drawn", "results": "built", "store": "stored"}
"""The worker's names of its steps, and ours."""
FIXED, NOT_FIXED = "fixed costs", ("of this, decoded", "of this, analysed", "sent and confirmed")
ROWS = (
    *("closed after its quiet time", "taken by the worker", "worked on"),
    *(f"of this, {step}" for step in OF_THE_WORK.values()),
    *("taken by the lane", "sent and confirmed", "all", FIXED),
)


def took_ms(events: Sequence[EventRecord], worked_s: Mapping[str, float]) -> dict[str, float]:
    """Return the milliseconds of each step of one study. worked_s: seconds of the worker's steps by their names."""
    at = {event.event: event.at for event in events}
    quiet = timedelta(seconds=QUIET_S)
    took = {
        step: (at[end] - at[begin] - (quiet if begin is StudyEvent.INSTANCE_ARRIVED else timedelta())).total_seconds()
        * 1000
        for step, (begin, end) in STEPS.items()
    }
    took |= {f"of this, {ours}": 1000 * worked_s[step] for step, ours in OF_THE_WORK.items()}
    took[FIXED] = took["all"] - sum(took[step] for step in NOT_FIXED)
    return took


def one_after_another(node: Node, folder: Path, studies: int, rows: int, columns: int) -> list[dict[str, float]]:
    """Send studies, each when the one before has ended; return their steps. The first one warms up."""
    taken = []
    for number in range(studies + 1):
        image = radiograph(rows=rows, columns=columns)
        path = write(image, folder / f"{number}.dcm")
        sent = storescu(node.port, path)
        assert sent.returncode == 0, sent.stderr
        time.sleep(0.13 * (number % 7))  # no tick shall be met again and again
        uid = str(image.StudyInstanceUID)
        study = node.wait_for_end_of([uid])[uid]
        summary = read_summary(study.summary_json)
        assert summary is not None
        with node.ledger() as ledger:
            taken.append(took_ms(ledger.studies.events(study.id), summary.seconds))
    return taken[1:]


def main() -> None:
    """Run a node, send, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=15)
    parser.add_argument("--px", type=int, nargs=2, default=[2500, 2048], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        with storescp(folder / "archive") as archive:
            defaults = {"model": given.model, "receivers": None, "quiet_s": QUIET_S, "sweep_s": 1.0, "lease_s": 60.0}
            node = new_node(folder / "node", [archive.destination], **defaults)
            with node.running():
                taken = one_after_another(node, folder, given.studies, *given.px)
            node.processes.clear()
    rows: list[Row] = [
        {
            "step": step,
            "median, ms": round(statistics.median(one[step] for one in taken)),
            "slowest, ms": round(max(one[step] for one in taken)),
        }
        for step in ROWS
    ]
    print(markdown(rows))
    keep(rows, given.json)


if __name__ == "__main__":
    main()
