"""How fast images are taken in, against Orthanc and DCMTK's storescp: the same senders, the same images, in turns.

    python -m benchmarks.ingest [--repeats 5] [--associations 1 4 8] [--before FOLDER] [--json FILE] [--quick]

Each association is one storescu, on the same cores as the receiver, and each image a separate study with
UIDs that were never sent before. The time runs from the start of the senders to the end of the last one. What the node
and Orthanc have acknowledged is on the disk; storescp syncs nothing, so the sync of its whole file system is counted.
Processor time is that of the receiver with its children. `--before` names a checkout of an earlier version, which takes
part as well, `--processes` a node that receives in several. Prints Markdown; run it on a real disk.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from pydicom.uid import generate_uid

from benchmarks.tables import Row, head, keep, line
from tests.peers.dcmtk import compressed_with, storescp
from tests.peers.orthanc import orthanc
from tests.peers.processes import free_port, program, wait_until
from tests.peers.radiographs import radiograph, write

NODE, BEFORE, ORTHANC, STORESCP = "node", "node before", "Orthanc", "storescp + sync"
RECEIVERS = (NODE, ORTHANC, STORESCP)
LARGE_IMAGES_A_RUN, SMALL_IMAGES_A_RUN = 16, 400
"""What is sent in one run, over all its associations."""
_IMPORTS_S = 5.0
"""Until a process that helps takes associations."""
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes images in: where, and its process."""

    ae_title: str
    port: int
    process: psutil.Process
    at_end: Callable[[], None] = lambda: None
    """What makes durable what was sent, where it was not yet."""

    def cpu_s(self) -> float:
        """Return how much processor time it and its children have used."""
        used = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return float(sum(one.user + one.system + one.children_user + one.children_system for one in used))


@dataclass(frozen=True, slots=True)
class Load:
    """Images of one kind; `images` are sent in one run, shared out over the associations."""

    name: str
    image: bytes
    options: tuple[str, ...]
    images: int


@dataclass(frozen=True, slots=True)
class Took:
    """One run: wall time, and processor time of the receiver."""

    wall_s: float
    cpu_s: float


def node_settings(folder: Path, port: int) -> dict[str, object]:
    """Return the settings of a receiver that takes whatever it is sent."""
    return {
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder / "var"),
        "limits": {"min_free_bytes": 0},
        "log": {"level": "warning"},
    }


@contextlib.contextmanager
def node(folder: Path, checkout: Path | None = None, processes: int = 1) -> Iterator[Receiver]:
    """Run the node's receiver, of another checkout where one is named, in `processes` processes."""
    folder.mkdir()
    path = None if checkout is None else os.pathsep.join(map(str, (checkout, checkout / "node")))
    env = {**os.environ, **({} if path is None else {"PYTHONPATH": path})}
    port = free_port()
    config = folder / "node.yaml"
    more = {"receivers": processes} if checkout is None else {}  # which an earlier version may not know
    config.write_text(yaml.safe_dump(node_settings(folder, port) | more))
    command = [sys.executable, "-m", "patchclip_node", "receive", "--config", str(config)]
    with program(command, folder / "log", port=port, env=env, cwd=folder) as process:
        receiver = psutil.Process(process.pid)
        wait_until(lambda: len(receiver.children()) == processes - 1, "its processes run", 60)
        time.sleep(_IMPORTS_S * (processes > 1))
        yield Receiver("PATCHCLIP", port, receiver)


def listening(port: int) -> psutil.Process:
    """Return the child of this process that listens on a port."""
    for child in psutil.Process().children(recursive=True):
        if any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in child.net_connections("tcp")):
            return child
    raise AssertionError(f"no child listens on {port}")


@contextlib.contextmanager
def receivers(
    folder: Path, wanted: tuple[str, ...], before: Path | None, processes: int
) -> Iterator[dict[str, Receiver]]:
    """Run all of them; who is not sent to is idle."""
    with contextlib.ExitStack() as running:
        found: dict[str, Receiver] = {}
        if NODE in wanted:
            found[NODE] = running.enter_context(node(folder / "node"))
        if processes > 1:
            found[f"{NODE}, {processes} processes"] = running.enter_context(node(folder / "many", None, processes))
        if before is not None:
            found[BEFORE] = running.enter_context(node(folder / "before", before))
        if ORTHANC in wanted:
            port = running.enter_context(orthanc(folder / "orthanc")).destination.port
            found[ORTHANC] = Receiver("ORTHANC", port, listening(port))
        if STORESCP in wanted:
            archive = running.enter_context(storescp(folder / "storescp", "--fork", "+B", "+xa"))
            port = archive.destination.port

            def sync() -> None:
                subprocess.run(["sync", "--file-system", str(archive.folder)], check=True)
                for path in archive.files():
                    path.unlink()

            found[STORESCP] = Receiver("STORESCP", port, listening(port), sync)
        yield found


def with_new_uids(image: bytes, study: str, instance: str) -> bytes:
    """Return an image that no receiver has seen."""
    for before in (study, instance):
        assert image.count(before.encode()) >= 1
    for before in (study, instance):
        new = generate_uid(None)[: len(before)].ljust(len(before), "1")
        image = image.replace(before.encode(), new.encode())
    return image


def send(to: Receiver, load: Load, associations: int, folder: Path) -> Took:
    """Send a load that is new to the receiver; return what that took. Raises where one image was not accepted."""
    uids = (STUDY_UID, INSTANCE_UID)
    lists: list[list[str]] = [[] for _ in range(associations)]
    for number in range(load.images):
        path = folder / f"{number}.dcm"
        path.write_bytes(with_new_uids(load.image, *uids))
        lists[number % associations].append(str(path))
    os.sync()  # what was written for the senders is not the receiver's to write
    peer = ("-aec", to.ae_title, "127.0.0.1", str(to.port))
    command = ["storescu", "-pdu", "131072", *load.options, *peer]
    cpu_s, began_s = to.cpu_s(), time.monotonic()
    senders = [
        subprocess.Popen([*command, *paths], env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for paths in lists
    ]
    for sender in senders:
        _, said = sender.communicate()
        if sender.returncode or said:
            raise AssertionError(said.decode())
    to.at_end()
    return Took(time.monotonic() - began_s, to.cpu_s() - cpu_s)


STUDY_UID, INSTANCE_UID = (generate_uid(None)[:40].ljust(40, "1") for _ in range(2))


def loads(folder: Path, *, quick: bool) -> list[Load]:
    """Return images of 10 MB, of 100 kB, and of 10 MB in JPEG Lossless."""

    def image(rows: int, columns: int) -> Path:
        dataset = radiograph(rows=rows, columns=columns, study_instance_uid=STUDY_UID)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = INSTANCE_UID
        return write(dataset, folder / f"{rows}.dcm")

    large, small = image(2500, 2048), image(240, 208)
    lossless = compressed_with("dcmcjpeg", ("+e1",), large, folder / "lossless.dcm")
    large_images, small_images = (number // (2 if quick else 1) for number in (LARGE_IMAGES_A_RUN, SMALL_IMAGES_A_RUN))
    return [
        Load("10 MB", large.read_bytes(), (), large_images),
        Load("100 kB", small.read_bytes(), (), small_images),
        Load("10 MB, JPEG Lossless", lossless.read_bytes(), ("-xs",), large_images),
    ]


def measured(
    to: dict[str, Receiver], load: Load, associations: int, repeats: int, folder: Path
) -> dict[str, list[Took]]:
    """Send to each receiver in turns; the first turn warms up."""
    taken: dict[str, list[Took]] = {name: [] for name in to}
    for number in range(repeats + 1):
        for name, receiver in to.items():
            took = send(receiver, load, associations, folder)
            if number:
                taken[name].append(took)
    return taken


def row(load: Load, associations: int, taken: dict[str, list[Took]]) -> Row:
    """Return medians: images and megabytes a second, processor time, and the nodes' rates as ratios to the others'."""
    wall_s = {name: statistics.median(one.wall_s for one in runs) for name, runs in taken.items()}
    cpu_s = {name: statistics.median(one.cpu_s for one in runs) for name, runs in taken.items()}
    megabytes = len(load.image) / 1e6
    ours = [name for name in taken if name.startswith(NODE) and name != BEFORE]
    return {
        "load": load.name,
        "associations": associations,
        **{f"{name}, images/s": round(load.images / each, 1) for name, each in wall_s.items()},
        f"{NODE}, MB/s": round(load.images * megabytes / wall_s[NODE], 1),
        **{
            f"{one} / {name}": round(wall_s[name] / wall_s[one], 2)
            for one in ours
            for name in taken
            if name not in ours
        },
        **{f"{name}, CPU ms an image": round(each * 1000 / load.images, 2) for name, each in cpu_s.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--loads", nargs="+", default=["10 MB", "100 kB", "10 MB, JPEG Lossless"])
    parser.add_argument("--receivers", nargs="+", default=list(RECEIVERS))
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--processes", type=int, default=1, help="let the node take part in N processes, too")
    parser.add_argument("--quick", action="store_true", help="half of the images")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    before = given.before and given.before.resolve()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name).resolve()
        (folder / "sent").mkdir()
        print(f"load of the machine: {os.getloadavg()[0]:.1f}; medians of {given.repeats}, in turns")
        with receivers(folder, tuple({NODE, *given.receivers}), before, given.processes) as to:
            for load in loads(folder, quick=given.quick):
                for associations in given.associations if load.name in given.loads else ():
                    found = row(load, associations, measured(to, load, associations, given.repeats, folder / "sent"))
                    print(line(found) if rows else f"{head(found)}\n{line(found)}", flush=True)
                    rows.append(found)
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    keep(rows, given.json)


if __name__ == "__main__":
    main()
