"""What tests of several parts of the trainer share: one thread, data with bright squares, and a recipe for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.one_thread import one_thread
from tests.support.squares import squares_recipe, write_squares

__all__ = ["one_thread"]


@pytest.fixture
def squares(tmp_path: Path) -> PreparedData:
    """Squares of the size that `make_recipe`'s network takes."""
    return write_squares(tmp_path / "prepared")


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., Stage2Recipe]:
    """Return a recipe for the squares; changes by key."""
    return partial(squares_recipe, tmp_path)
