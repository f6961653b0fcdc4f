"""What TLS costs the receiver: the same images to the same node, with TLS and without, in turns.

    python -m benchmarks.tls [--images 20] [--associations 30] [--repeats 5]

The sender is DCMTK's storescu, both sides are on loopback, and everything is durable: run it on a real disk. Two loads:
many images of 10 MB over one association, and small ones over an association each, where the handshakes weigh. Prints
figures as Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.peers.processes import free_port, program
from tests.peers.radiographs import radiograph, write
from tests.support.certificates import Authority


@contextlib.contextmanager
def receiver(folder: Path, tls: dict[str, str] | None) -> Iterator[int]:
    """Run a separate receiver; yields its port."""
    folder.mkdir()
    port = free_port()
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder / "var"),
        "limits": {"min_free_bytes": 0},
        "tls": tls,
        "log": {"level": "error"},
    }
    config = folder / "node.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "patchclip_node", "receive", "--config", str(config)]
    with program(command, folder / "log", port=port):
        yield port


def seconds(port: int, options: tuple[str, ...], images: list[Path], associations: int) -> float:
    """Send, each image under a new SOP Instance UID, and return how long it took."""
    command = ["storescu", "+II", "-pdu", "131072", *options, "127.0.0.1", str(port), *map(str, images)]
    began_s = time.monotonic()
    for _ in range(associations):
        subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began_s


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
        files = {"certificate": node.certificate, "key": node.key, "ca": authority.ca, "crl": authority.crl}
        tls = {name: str(path) for name, path in files.items()}
        shown = ("+tls", str(modality.key), str(modality.certificate), "+cf", str(authority.ca))
        ports = {
            "plain": (running.enter_context(receiver(folder / "plain", None)), ()),
            "TLS": (running.enter_context(receiver(folder / "tls", tls)), shown),
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
        print("| load | plain, s | TLS, s | ratio of medians |\n|---|---|---|---|")
        for load, (images, associations) in loads.items():
            times: dict[str, list[float]] = {way: [] for way in ports}
            for _ in range(given.repeats):
                for way, (port, options) in ports.items():
                    times[way].append(seconds(port, options, images, associations))
            median = {way: statistics.median(each) for way, each in times.items()}
            cells = [f"{median[way]:.2f} ({min(times[way]):.2f} to {max(times[way]):.2f})" for way in ports]
            print(f"| {load} | {cells[0]} | {cells[1]} | {median['TLS'] / median['plain']:.2f} |")


if __name__ == "__main__":
    main()
