"""DICOMscope, the free viewer that renders presentation states, on a screen in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from tests.peers.processes import end
from tests.support.pictures import Picture

_JAR = "/usr/share/java/DICOMscope.jar"
_SCREEN = "1280x1024x24"
_CONFIGURATION = r"""
[[GENERAL]]
[APPLICATION]
LogDirectory = .
MessagePort = 0
[MONITOR]
Resolution = 1280\1024
Screensize = 400\320
PreviewSize = 128\128
[DATABASE]
Directory = database
[LUT]
Directory = /usr/share/dicomscope/lut
[REPORT]
Directory = /usr/share/dicomscope/reports
[NETWORK]
aetitle = DICOMSCOPE
[GUI]
AutoUpdateStudyBrowser = false
"""
"""It starts no receiver, no print server and no archive, as the configuration that Debian ships would."""


def presented(folder: Path, images_and_states: Sequence[tuple[Path, Path]]) -> list[Picture]:
    """Show each image, uncompressed, under its presentation state; one run of the program for all of them.

    folder: empty; keeps the program's files.
    """
    (folder / "database").mkdir(parents=True)
    (folder / "DICOMscope.cfg").write_text(_CONFIGURATION)
    pictures = [folder / f"{number}.png" for number in range(len(images_and_states))]
    arguments = [
        str(path)
        for (image, state), picture in zip(images_and_states, pictures, strict=True)
        for path in (image.resolve(), state.resolve(), picture.resolve())
    ]
    source = Path(__file__).with_name("ShowStates.java")
    with _screen() as display:
        run = subprocess.run(
            ["java", "-XX:TieredStopAtLevel=1", "-cp", _JAR, str(source), *arguments],
            cwd=folder,
            env={**os.environ, "DISPLAY": display},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    return [_read(picture) for picture in pictures]


def _read(path: Path) -> Picture:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@contextmanager
def _screen() -> Iterator[str]:
    """Run an X server that only this machine's user reaches; yields its display, which it chooses itself."""
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", _SCREEN, "-nolisten", "tcp"]
    server = subprocess.Popen(
        command, pass_fds=(write_end,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as number:
            yield f":{number.readline().strip()}"
    finally:
        end(server)
