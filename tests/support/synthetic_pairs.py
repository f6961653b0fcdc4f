"""Synthetic images and texts as stage 1 measures them: common statements, rare ones and words of one text alone."""

from __future__ import annotations

import numpy as np
import torch

from patchclip_core.reports.statements import Meaning, Statement, implied_by
from patchclip_trainer.training.stage1.measures import Embedded, Written
from patchclip_trainer.training.stage1.pairs import Text
from patchclip_trainer.training.stage1.said import Said

FINDINGS = 14


def embedded_pairs(chance: np.random.Generator, images: int, width: int) -> Embedded:
    """Return pairs of images and texts. width: of the embeddings.

    A sixth of the texts is shared. Of the others each says two to six statements, and half of them says something in
    words that hardly any other text has.
    """
    different = images - images // 6
    texts = tuple(Text(f"text {number}", _meaning(chance, number)) for number in range(different))
    own = np.concatenate([np.arange(different), chance.integers(0, different, images - different)])
    reports = _directions(torch.from_numpy(chance.standard_normal((different, width), dtype=np.float32)))
    noise = torch.from_numpy(chance.standard_normal((images, width), dtype=np.float32))
    states = chance.integers(-1, 2, (images, FINDINGS)).astype(np.int8)
    written = Written(
        indices=np.arange(images),
        texts=texts,
        own=own,
        said=Said([text.meaning for text in texts]),
        known=tuple(implied_by(texts[place].meaning) for place in own),
        states=states,
    )
    findings = _directions(torch.from_numpy(chance.standard_normal((FINDINGS, 2, width), dtype=np.float32)))
    return Embedded(written, _directions(reports[own] + noise / width**0.5), reports, findings)


def _meaning(chance: np.random.Generator, number: int) -> Meaning:
    said: set[Statement | str] = {
        Statement(f"finding {int(finding)}", bool(chance.random() < 0.2), "left" if chance.random() < 0.2 else "")
        for finding in chance.geometric(0.3, int(chance.integers(2, 7)))
    }
    return frozenset(said | ({f"words {number // 3}"} if chance.random() < 0.5 else set()))


def _directions(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(values, dim=-1)
