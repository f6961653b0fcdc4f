"""What a step frees, the next one takes without asking the system."""

from __future__ import annotations

import ctypes
import platform
import resource

import pytest

from patchclip_trainer.training.loop.memory import keep_freed_memory

LARGE_BYTES = 64 * 2**20


def pages_touched_anew() -> int:
    """Count the pages that the system hands out while a large piece is filled, before it is freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(LARGE_BYTES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these parameters")
def test_a_large_piece_is_not_mapped_again_once_it_was_freed() -> None:
    assert keep_freed_memory()
    pages_touched_anew()

    again = pages_touched_anew()

    assert again < LARGE_BYTES / resource.getpagesize() / 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())

    assert not keep_freed_memory()
