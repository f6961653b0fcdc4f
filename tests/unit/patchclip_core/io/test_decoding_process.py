from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, DecodingProcess, read_radiograph

LIMITS = DecodeLimits(max_pixels=20_000_000, timeout_s=20.0, memory_bytes=1024**3)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200)).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def process() -> Iterator[DecodingProcess]:
    with DecodingProcess(LIMITS) as process:
        yield process


def pid_of(process: DecodingProcess) -> int:
    assert process.pid is not None
    return process.pid


def test_the_child_reads_what_this_process_reads(process: DecodingProcess, image: Path) -> None:
    radiograph = process.read(image)

    assert np.array_equal(radiograph.pixels, read_radiograph(image).pixels)


def test_the_child_stays_the_same_over_good_and_bad_files(
    process: DecodingProcess, image: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.dcm"
    nothing.write_text("nothing")
    tiny = tmp_path / "tiny.png"
    Image.new("L", (5, 5)).save(tiny)
    first = process.pid

    process.read(image)
    with pytest.raises(UnreadableImageError, match="neither a DICOM"):
        process.read(nothing)
    with pytest.raises(UnsuitableImageError, match="5 x 5"):
        process.read(tiny)
    process.read(image)

    assert process.pid == first


def test_a_child_that_was_killed_between_two_files_is_replaced(process: DecodingProcess, image: Path) -> None:
    process.read(image)
    first = pid_of(process)
    os.kill(first, signal.SIGKILL)

    radiograph = process.read(image)

    assert radiograph.rows == 300
    assert process.pid != first


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_dies_while_it_decodes_is_replaced_and_asked_again(
    process: DecodingProcess, image: Path, death: signal.Signals
) -> None:
    process.read(image)
    first = pid_of(process)
    # A pipe as a file: the child waits for its bytes, so it is surely in the middle when it dies.
    waiting = image.parent / "waiting.png"
    os.mkfifo(waiting)
    answers: list[int] = []
    reader = threading.Thread(target=lambda: answers.append(process.read(waiting).rows))

    reader.start()
    os.kill(first, signal.SIGSTOP)
    time.sleep(0.2)
    waiting.unlink()
    waiting.write_bytes(image.read_bytes())
    os.kill(first, death)
    os.kill(first, signal.SIGCONT)
    reader.join(30)

    assert answers == [300]
    assert process.pid != first


def test_a_file_that_kills_every_child_is_unreadable_and_the_next_one_is_read(
    process: DecodingProcess, image: Path
) -> None:
    blocked = image.parent / "blocked.png"
    os.mkfifo(blocked)
    stop = threading.Event()

    def kill_children() -> None:
        while not stop.wait(0.05):
            if process.pid is not None and psutil.pid_exists(process.pid):
                os.kill(process.pid, signal.SIGSEGV)

    killer = threading.Thread(target=kill_children)
    killer.start()
    try:
        with pytest.raises(UnreadableImageError, match="crashed on this file \\(SIGSEGV\\)"):
            process.read(blocked)
    finally:
        stop.set()
        killer.join()

    assert process.read(image).rows == 300


def test_a_decoding_that_takes_too_long_is_stopped(image: Path) -> None:
    endless = image.parent / "endless.png"
    os.mkfifo(endless)

    with DecodingProcess(DecodeLimits(timeout_s=0.5)) as process:
        process.read(image)
        first = pid_of(process)
        started = time.monotonic()
        with pytest.raises(DecoderTimeoutError, match=r"longer than 0\.5 s"):
            process.read(endless)

        assert time.monotonic() - started < 5
        assert not psutil.pid_exists(first)
        assert process.read(image).rows == 300


def test_memory_beyond_the_limit_is_an_error_and_not_the_machines_problem(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (9000, 9000)).save(path)

    with (
        DecodingProcess(DecodeLimits(memory_bytes=600 * 1024**2)) as process,
        pytest.raises(UnreadableImageError, match="more memory than is allowed"),
    ):
        process.read(path)


def test_the_child_ends_with_its_parent_and_after_close(image: Path) -> None:
    process = DecodingProcess(LIMITS)
    process.read(image)
    child = pid_of(process)

    process.close()
    process.close()

    assert process.pid is None
    assert not psutil.pid_exists(child)


def test_the_child_never_imports_torch_and_keeps_to_its_limits(process: DecodingProcess, image: Path) -> None:
    process.read(image)
    child = psutil.Process(process.pid)

    assert child.rlimit(psutil.RLIMIT_AS) == (LIMITS.memory_bytes, LIMITS.memory_bytes)
    assert not any("torch" in Path(entry.path).parts for entry in child.memory_maps())
