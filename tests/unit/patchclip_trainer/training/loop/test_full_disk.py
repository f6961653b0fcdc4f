"""A disk that is full in the middle of a run costs nothing that was kept."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from patchclip_core.checkpoints.checkpoint import digest_of, read_card
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.training.loop.state import CHECKPOINT, STATE, read_state, save_state
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this: writing fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", [0, 100, 5_000, 100_000])
def test_a_state_that_has_no_room_leaves_the_one_before_it(tmp_path: Path, size_bytes: int) -> None:
    save_state(tmp_path, {"fingerprint": "a", "step": 1})

    with (
        room_for(size_bytes),
        pytest.raises(TrainerError, match=r"cannot be written .*make room .*go on with --resume"),
    ):
        save_state(tmp_path, {"fingerprint": "a", "step": 2, "weights": torch.zeros(50_000)})

    assert read_state(tmp_path, "a", torch.device("cpu"))["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_log_that_has_no_room_ends_the_run_with_one_line(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path
) -> None:
    run = Run(Stage2(make_recipe(loggers=[], save_every=100), squares, tmp_path / "t"))

    with room_for(300), pytest.raises(TrainerError, match=r"make room.* go on with --resume") as raised:
        run.run(tmp_path / "out")

    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_named(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(TrainerError, match=r"file/out: Not a directory; .*give a folder that can be written"):
        Run(Stage2(make_recipe(), squares, tmp_path / "t")).run(tmp_path / "file" / "out")


@pytest.mark.parametrize("size_bytes", [0, 100, 20_000])
def test_a_checkpoint_that_has_no_room_leaves_the_one_before_it(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path, size_bytes: int
) -> None:
    stage, out = Stage2(make_recipe(), squares, tmp_path / "t"), tmp_path / "run"
    out.mkdir()
    stage.write_checkpoint(out, stage.network, 1, 1)
    before = {path.name: path.read_bytes() for path in (out / CHECKPOINT).iterdir()}

    with room_for(size_bytes), pytest.raises(TrainerError, match=r"checkpoint cannot be written .*is whole"):
        stage.write_checkpoint(out, stage.network, 2, 1)

    assert {path.name: path.read_bytes() for path in (out / CHECKPOINT).iterdir()} == before
    card = read_card(out / CHECKPOINT)
    assert digest_of([out / CHECKPOINT / name for name in card.weights_files]) == card.weights_digest
    assert [path.name for path in out.iterdir()] == [CHECKPOINT]


def test_a_first_checkpoint_that_has_no_room_leaves_nothing_half(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path
) -> None:
    stage, out = Stage2(make_recipe(), squares, tmp_path / "t"), tmp_path / "run"
    out.mkdir()

    with room_for(100), pytest.raises(TrainerError, match="and start again"):
        stage.write_checkpoint(out, stage.network, 1, 1)

    assert list(out.iterdir()) == []


def test_a_checkpoint_moved_aside_by_a_run_that_was_killed_is_put_back(
    squares: PreparedData, make_recipe: Callable[..., Stage2Recipe], tmp_path: Path
) -> None:
    stage, out = Stage2(make_recipe(), squares, tmp_path / "t"), tmp_path / "run"
    out.mkdir()
    stage.write_checkpoint(out, stage.network, 1, 1)
    (out / CHECKPOINT).rename(out / "checkpoint.old")

    with room_for(100), pytest.raises(TrainerError, match="is whole"):
        stage.write_checkpoint(out, stage.network, 2, 1)

    assert [path.name for path in out.iterdir()] == [CHECKPOINT]
