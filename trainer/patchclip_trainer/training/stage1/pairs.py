"""Images and what is written of them, as stage 1 pairs them: real reports, or the sentences of a label template.

A template writes labels down; it is not a report. Training on it is called label-template pretraining everywhere. Of
its sentences those that name a place are left out: they come from boxes, and boxes belong to stage 2. Those that name
no finding, such as the view, are left out too, and a list of findings is taken apart, so that each can be true of an
image by itself. Labels that were not taken from the image (`by: nobody` in `conf/label_domains.yaml`: the cohort, the
case) make no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from patchclip_core.reports.sentences import Sentence, sections, sentences
from patchclip_core.reports.statements import Meaning, implied_by, meaning_of, names_a_place, statements_of
from patchclip_trainer.data.label_domains import LabelDomains, SourceLabels, reason_to_leave_out
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import DataError
from patchclip_trainer.training.inputs.images_in_words import in_words
from patchclip_trainer.training.stage1.said import Said

TextSource = Literal["reports", "label_template"]
DESCRIBED_AS: Final[dict[TextSource, str]] = {"reports": "report text", "label_template": "label-template pretraining"}
_LIST: Final = re.compile(r",\s*|\.\s*$")


@dataclass(frozen=True, slots=True)
class Folds:
    """How many folds of patients there are, which early stopping looks at, and which has no part in the run."""

    count: int = 5
    held_out: int | None = None
    left_out: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Words for a text tower, and what they say."""

    words: str
    meaning: Meaning


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """B images against N different texts. owners: (N,), an image that has each. positives: (B, N) bool, what holds."""

    indices: NDArray[np.int64]
    texts: tuple[Text, ...]
    owners: tuple[int, ...]
    positives: NDArray[np.bool_]

    def in_order(self, places: NDArray[np.int64]) -> PairBatch:
        """Return the batch with its texts in another order."""
        texts, owners = (tuple(values[place] for place in places) for values in (self.texts, self.owners))
        return PairBatch(self.indices, texts, owners, self.positives[:, places])


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Images with text. sentences, known: by index into the prepared data; `known` is all that an image's text implies.

    train, held_out, left_out: indices into the prepared data, patients apart: what is learned from, what early stopping
    looks at, and what has no part in the run. without_text: how many images of the split have no usable text.
    """

    data: PreparedData
    source: TextSource
    sentences: dict[int, tuple[Sentence, ...]]
    known: dict[int, Meaning]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    left_out: NDArray[np.int64]
    without_text: int

    def whole(self, index: int) -> Text:
        """Return all that is written of an image."""
        return _text(self.sentences[index])

    def drawn(self, index: int, count: int | None, chance: Sequence[int]) -> Text:
        """Return some sentences of an image, in their order: the same for the same numbers `chance`; None: all."""
        said = self.sentences[index]
        if count is None or count >= len(said):
            return _text(said)
        chosen = np.random.default_rng([*chance, index]).choice(len(said), count, replace=False)
        return _text([said[place] for place in sorted(chosen)])

    def true_of(self, indices: Iterable[int], texts: Sequence[Text]) -> NDArray[np.bool_]:
        """Return (images, texts): whether a text says nothing but what is written of an image, if in other words."""
        return Said([text.meaning for text in texts]).holds_for([self.known[int(index)] for index in indices])

    def batch(self, indices: NDArray[np.int64], texts: Sequence[Text]) -> PairBatch:
        """Put images and their texts, one an image, against each other; a text that comes twice is taken once."""
        owners: dict[str, int] = {}
        different = [
            text
            for index, text in zip(indices, texts, strict=True)
            if owners.setdefault(text.words, int(index)) == int(index)
        ]
        return PairBatch(indices, tuple(different), tuple(owners.values()), self.true_of(indices, different))

    def describe(self) -> str:
        """Say in counts what is trained on."""
        written = [sentence.text for index in self.train for sentence in self.sentences[int(index)]]
        watched = f"; another {len(self.held_out)} images for early stopping" if len(self.held_out) else ""
        return (
            f"{DESCRIBED_AS[self.source]}: {in_words(self.data, self.train)} with {len(written)} sentences, "
            f"{len(set(written))} of them different{watched}"
        )


def collect_pairs(
    data: PreparedData,
    source: TextSource,
    folds: Folds,
    domains: LabelDomains,
    licence_classes: Sequence[str] | None = None,
) -> Pairs:
    """Pair the images of the train split with their text; folds of patients are held and left out.

    licence_classes: only images of these; None: all.

    Raises `DataError` where there is no text to learn from.
    """
    indices = [int(index) for index in data.split("train")]
    listed = [
        index
        for index in indices
        if (licence_classes is None or data.rows[index].licence_class in licence_classes)
        and reason_to_leave_out(data.rows[index], domains) is None
    ]
    written = {index: sentences_of(data.rows[index], source, domains) for index in listed}
    used = [index for index in listed if written[index]]
    several = folds.held_out is not None or folds.left_out is not None
    fold_of = train_folds(data.rows, folds.count) if several else dict.fromkeys(used, -1)
    parts = {fold: [index for index in used if fold_of[index] == fold] for fold in {folds.held_out, folds.left_out}}
    apart = {index for part in parts.values() for index in part}
    train = [index for index in used if index not in apart]
    if not train:
        wanted = "report text" if source == "reports" else "a label template"
        raise DataError(f"{data.folder}: no image of the train split has {wanted}; see `text` in the recipe")
    return Pairs(
        data=data,
        source=source,
        sentences={index: written[index] for index in used},
        known={index: implied_by(meaning_of(written[index])) for index in used},
        train=np.array(train, dtype=np.int64),
        held_out=np.array(parts[folds.held_out], dtype=np.int64),
        left_out=np.array(parts[folds.left_out], dtype=np.int64),
        without_text=len(indices) - len(used),
    )


def sentences_of(row: ImageRow, source: TextSource, domains: LabelDomains) -> tuple[Sentence, ...]:
    """Return the sentences of an image that stage 1 may use, each once."""
    if source == "reports":
        parts = sections(row.text)
        said = (*sentences(parts.findings), *sentences(parts.impression))
        return tuple({sentence.text: sentence for sentence in said}.values())
    if domains.labels.get(row.source, SourceLabels()).by == "nobody":
        return ()
    items = [
        item.strip()
        for sentence in sentences(sections(row.synthetic_text).findings)
        if not names_a_place(sentence.text)
        for item in _LIST.split(sentence.text)
    ]
    return tuple(
        sentence
        for item in dict.fromkeys(items)
        for sentence in sentences(f"{item}." if item else "")
        if statements_of(sentence)
    )


def _text(said: Sequence[Sentence]) -> Text:
    return Text(" ".join(sentence.text for sentence in said), meaning_of(said))
