"""Several analyses at a time, each on its share of the processors, say what one says on such a share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.shares import shares_of
from patchclip_core.values.results import Radiograph


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> NetworkAnalyzer:
    loaded = checkpoint.load("untrained", device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


@pytest.mark.parametrize(("at_most", "number", "threads"), [(2, 2, 2), (3, 3, 1), (4, 4, 1), (16, 4, 1)])
def test_processors_are_divided_evenly_and_never_used_twice(
    model: NetworkAnalyzer, at_most: int, number: int, threads: int
) -> None:
    shares = shares_of(model, at_most)
    with ThreadPoolExecutor(1, initializer=shares.enter) as thread:
        entered = thread.submit(torch.get_num_threads).result()

    assert (shares.number, entered) == (number, threads)


@pytest.mark.parametrize("threads", [1, 4])
def test_who_has_one_study_at_a_time_or_one_processor_has_one_share(model: NetworkAnalyzer, threads: int) -> None:
    torch.set_num_threads(threads)

    assert shares_of(model, 1 if threads > 1 else 8).number == 1
    assert torch.get_num_threads() == threads


def test_on_a_gpu_batches_go_in_turn(model: NetworkAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_device", torch.device("cuda"))

    assert shares_of(model, 4).number == 1


def test_a_model_that_offers_none_has_one() -> None:
    assert shares_of(object(), 4).number == 1


def test_what_is_found_side_by_side_is_what_is_found_alone_to_the_last_digit(model: NetworkAnalyzer) -> None:
    images = [Radiograph(np.random.default_rng(seed).random((700, 640), dtype=np.float32)) for seed in range(4)]
    shares, together = shares_of(model, 2), threading.Barrier(2)

    def numbers(image: Radiograph) -> list[Any]:
        (found,) = model.analyze_batch([image])
        return [(one.key, one.probability, None if one.patch_map is None else one.patch_map.tobytes()) for one in found]

    def beside_another(image: Radiograph) -> list[Any]:
        together.wait()
        return numbers(image)

    with ThreadPoolExecutor(1, initializer=shares.enter) as thread:
        alone = list(thread.map(numbers, images))
    with ThreadPoolExecutor(shares.number, initializer=shares.enter) as threads:
        assert list(threads.map(beside_another, images)) == alone
