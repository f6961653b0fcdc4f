"""What is measured in blocks is what whole matrices and a comparison of every pair give."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from patchclip_core.models.losses import bounded_scale, report_contrastive_loss
from patchclip_core.reports.statements import Meaning, Statement
from patchclip_trainer.metrics.retrieval import ranks
from patchclip_trainer.training.stage1 import measures
from patchclip_trainer.training.stage1.measures import Embedded, Written, contrast, rank_images, rank_texts
from patchclip_trainer.training.stage1.said import Said
from tests.support.synthetic_pairs import embedded_pairs

SCALE = torch.tensor(2.0)


def by_every_pair(written: Written) -> NDArray[np.bool_]:
    return np.array([[text.meaning <= known for text in written.texts] for known in written.known])


@pytest.fixture(params=[1, 40_000, 2**28], ids=["an image a block", "a few", "all in one"])
def embedded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    monkeypatch.setattr(measures, "BLOCK_BYTES", request.param)
    return embedded_pairs(np.random.default_rng(3), images=90, width=8)


def test_blocks_rank_as_whole_matrices_do(embedded: Embedded) -> None:
    holds = by_every_pair(embedded.of)
    similarities = (embedded.images.double() @ embedded.reports.double().T).numpy()

    texts, images = rank_texts(embedded), rank_images(embedded)

    assert 1 < holds.sum(axis=1).max() < holds.shape[1]
    assert texts.ranks.tolist() == ranks(similarities, holds).tolist()
    assert texts.right.tolist() == holds.sum(axis=1).tolist()
    assert images.ranks.tolist() == ranks(similarities.T, holds.T).tolist()
    assert images.right.tolist() == holds.sum(axis=0).tolist()
    assert (texts.candidates, images.candidates) == (holds.shape[1], holds.shape[0])


def test_the_contrast_is_that_of_each_batch_by_itself(embedded: Embedded) -> None:
    written, holds = embedded.of, by_every_pair(embedded.of)
    wanted = 0.0
    for places in np.array_split(np.arange(90), 4):
        columns = np.unique(written.own[places])
        true = torch.from_numpy(holds[np.ix_(places, columns)])
        loss = report_contrastive_loss(embedded.images[places], embedded.reports[columns], bounded_scale(SCALE), true)
        wanted += loss.item() * len(places) / 90

    assert contrast(embedded, SCALE, 25) == pytest.approx(wanted, rel=1e-6)


def test_blocks_are_dealt_to_processes_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "BLOCK_BYTES", 20_000)
    embedded = embedded_pairs(np.random.default_rng(3), images=90, width=8)

    def places(number: int, count: int) -> list[slice]:
        processes = cast(Any, SimpleNamespace(number=number, count=count))
        return [block.places for block in embedded.blocks(processes)]

    dealt = sorted((place for number in range(3) for place in places(number, 3)), key=lambda place: place.start)

    assert dealt == places(0, 1)
    assert len(dealt) > 3
    assert all(first.stop == second.start for first, second in pairwise(dealt))
    assert (dealt[0].start, dealt[-1].stop) == (0, 90)


def test_a_text_holds_where_it_says_nothing_but_what_is_known() -> None:
    chance = np.random.default_rng(0)
    items: list[Statement | str] = [Statement(f"finding {number}", True) for number in range(6)]
    items += ["heart", "a word", ""]

    def drawn(most: int) -> Meaning:
        return frozenset(items[place] for place in chance.choice(len(items), int(chance.integers(0, most + 1)), False))

    known, meanings = [drawn(9) for _ in range(37)], [drawn(3) for _ in range(50)]

    holds = Said(meanings).holds_for(known)

    assert holds.tolist() == [[meaning <= of_image for meaning in meanings] for of_image in known]
    assert 0 < holds.mean() < 1


@pytest.mark.parametrize(("known", "meanings"), [(0, 3), (3, 0), (1, 1)])
def test_nothing_is_held_against_nothing(known: int, meanings: int) -> None:
    assert Said([frozenset({"a"})] * meanings).holds_for([frozenset({"a"})] * known).shape == (known, meanings)
