"""Which part of a radiograph each word of a sentence looks at: LRCLR's explanation, as an output like any other."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.towers import Tokens
from patchclip_core.places.preprocess import preprocess
from patchclip_core.values.results import FloatArray, Geometry, Radiograph

_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, eq=False)
class WordMap:
    """One word's map: (grid rows, grid columns) float32, 0 where nothing was selected, adding up to 1.

    similarity: cosine of the word with the region that it looks at, in [-1, 1].
    """

    word: str
    map: FloatArray
    similarity: float


def word_maps(analyzer: NetworkAnalyzer, radiograph: Radiograph, sentence: str) -> tuple[list[WordMap], Geometry]:
    """Return each word's map, in the order of the sentence, and the way from their grid to source pixels.

    Words beyond the text tower's length are left out. Raises `ValueError` for a model without word maps, and for a
    sentence without words.
    """
    spans = analyzer.tokenizer.spans(sentence)
    words = {found.span(): found.group() for found in _WORDS.finditer(sentence)}
    tokens_of = {
        span: [index for index, (start, end) in enumerate(spans) if start < end and span[0] <= start < span[1]]
        for span in words
    }
    if not any(tokens_of.values()):
        raise ValueError(f"the sentence {sentence!r} has no words")
    image, geometry = preprocess(radiograph, analyzer.card.preprocess)
    tokens = analyzer.tokenizer([sentence])
    with torch.inference_mode():
        asked = Tokens(tokens.ids.to(analyzer.device), tokens.mask.to(analyzer.device))
        reading = analyzer.network.read_words(torch.from_numpy(image[None]).to(analyzer.device), asked)
    if reading is None:
        raise ValueError(
            f"the model {analyzer.identity.name} has no word maps: its architecture '{analyzer.card.architecture}' "
            "does not tell where words look, as 'lrclr' does"
        )
    maps, cosines = reading.maps[0, 0], reading.similarity[0, 0]  # (L, P), (L,)
    grid = geometry.grid
    found = [
        WordMap(
            words[span],
            np.asarray(maps[indices].mean(dim=0).cpu(), dtype=np.float32).reshape(grid.rows, grid.columns),
            float(cosines[indices].mean()),
        )
        for span, indices in tokens_of.items()
        if indices
    ]
    return found, geometry
