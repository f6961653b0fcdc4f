"""How well images find their texts and texts their images, and what the network says of findings by their sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.losses import bounded_scale, report_contrastive_loss
from patchclip_core.reports.names import plain
from patchclip_core.reports.statements import ABNORMALITY, Meaning, Statement
from patchclip_core.statistics.bootstrap import Resamples, Statistic, draw_patients, estimate, mean_of
from patchclip_core.statistics.roc import auc
from patchclip_trainer.data.label_domains import LabelDomains, LabelState, label_of
from patchclip_trainer.metrics.retrieval import chance_recall, ranks
from patchclip_trainer.training.loop.processes import ALONE, Processes
from patchclip_trainer.training.stage1.pairs import Pairs, Text
from patchclip_trainer.training.stage1.said import Said

RECALL_AT: Final = (1, 5, 10)
BLOCK_BYTES: Final = 256 * 2**20
"""Most memory that a block of images against all texts takes; the least is one image, however many texts there are."""
_BYTES_A_PAIR: Final = 16
"""Of a block: a similarity in 32 bits and a copy of it, whether the text holds, and what ranking them takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Images that are measured, and all that is written of each; it does not change with the weights.

    indices: (N,) into the prepared data. texts: the U different texts. own: (N,), each image's text. said: what the
    texts say. known: what is known of each image. states: (N, F), see `finding_states`.
    """

    indices: NDArray[np.int64]
    texts: tuple[Text, ...]
    own: NDArray[np.int64]
    said: Said
    known: tuple[Meaning, ...]
    states: NDArray[np.int8]


def written_of(pairs: Pairs, indices: NDArray[np.int64], keys: Sequence[str], domains: LabelDomains) -> Written:
    """Return what is written of images, and what is known of findings in them."""
    texts, own = different_texts(pairs, indices)
    said, known = Said([text.meaning for text in texts]), tuple(pairs.known[int(index)] for index in indices)
    return Written(indices, texts, own, said, known, finding_states(pairs, indices, keys, domains))


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Images and texts as a network sees them.

    images: (N, D). reports: (U, D). findings: (F, 2, D), sentences for and against each finding. All of length 1.
    """

    of: Written
    images: torch.Tensor
    reports: torch.Tensor
    findings: torch.Tensor

    def blocks(self, processes: Processes = ALONE) -> Iterator[Block]:
        """Compare images with all texts, as many images at a time as `BLOCK_BYTES` has room for.

        processes: each gets its own blocks.
        """
        count, texts = len(self.images), len(self.reports)
        rows = max(1, BLOCK_BYTES // (_BYTES_A_PAIR * texts))
        reports = self.reports.T
        for start in range(processes.number * rows, count, processes.count * rows):
            places = slice(start, min(start + rows, count))
            with torch.autocast(self.images.device.type, enabled=False):
                similarities = (self.images[places] @ reports).cpu().numpy()
            yield Block(places, similarities, self.of.said.holds_for(self.of.known[places]))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some images against all texts. places: which images. similarities: (B, U) float32. holds: (B, U)."""

    places: slice
    similarities: NDArray[np.float32]
    holds: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Of each query the rank of the best that is right, 1 at best, and how many are right among `candidates`."""

    ranks: NDArray[np.int64]
    right: NDArray[np.int64]
    candidates: int


def different_texts(pairs: Pairs, indices: NDArray[np.int64]) -> tuple[tuple[Text, ...], NDArray[np.int64]]:
    """Return the different whole texts of images, and which is each image's own."""
    places: dict[str, int] = {}
    texts: list[Text] = []
    own = []
    for index in indices:
        text = pairs.whole(int(index))
        if text.words not in places:
            places[text.words] = len(texts)
            texts.append(text)
        own.append(places[text.words])
    return tuple(texts), np.array(own, dtype=np.int64)


def rank_texts(embedded: Embedded, processes: Processes = ALONE) -> Ranked:
    """Return for each image the rank of the best text that holds for it, among all; each process ranks its blocks."""
    found = np.zeros((2, len(embedded.images)), dtype=np.int64)
    for block in embedded.blocks(processes):
        found[:, block.places] = ranks(block.similarities, block.holds), block.holds.sum(axis=1)
    total = processes.total(torch.from_numpy(found).to(embedded.images.device)).cpu().numpy()
    return Ranked(total[0], total[1], len(embedded.reports))


def rank_images(embedded: Embedded) -> Ranked:
    """Return for each text the rank of the best image that it holds for, among all images.

    Blocks are of images: what is best is known after the last one, so that all are looked at twice.
    """
    best = np.full(len(embedded.reports), -np.inf, dtype=np.float32)
    right, above = np.zeros((2, len(embedded.reports)), dtype=np.int64)
    for block in embedded.blocks():
        np.maximum(best, np.where(block.holds, block.similarities, -np.inf).max(axis=0), out=best)
        right += block.holds.sum(axis=0)
    for block in embedded.blocks():
        above += ((block.similarities >= best) & ~block.holds).sum(axis=0)
    return Ranked(1 + above, right, len(embedded.images))


def contrast(embedded: Embedded, logit_scale: torch.Tensor, size: int, processes: Processes = ALONE) -> float:
    """Return the loss of held-out images in batches of about this size, against the texts of each batch.

    processes: each computes its batches.
    """
    written, count = embedded.of, len(embedded.images)
    total = torch.zeros((), dtype=torch.float64, device=embedded.images.device)
    batches = np.array_split(np.arange(count), -(-count // size))
    for places in batches[processes.number :: processes.count]:
        columns = np.unique(written.own[places])
        said = Said([written.texts[int(column)].meaning for column in columns])
        loss = report_contrastive_loss(
            embedded.images[places],
            embedded.reports[columns],
            bounded_scale(logit_scale),
            torch.from_numpy(said.holds_for([written.known[int(place)] for place in places])).to(total.device),
        )
        total += loss.detach().double() * len(places)
    return float(processes.total(total)) / count


def finding_states(
    pairs: Pairs, indices: NDArray[np.int64], keys: Sequence[str], domains: LabelDomains
) -> NDArray[np.int8]:
    """Return (N, F): 1 where a finding is there, 0 where it is not, -1 where neither labels nor the text say.

    What the label domains know comes first; where they know nothing, what is written of the image.
    """
    states = np.full((len(indices), len(keys)), -1, dtype=np.int8)
    for row, index in enumerate(map(int, indices)):
        for column, key in enumerate(keys):
            state = label_of(pairs.data.rows[index], pairs.data.boxes_of(index), key, domains)
            if state in {LabelState.POSITIVE, LabelState.TEXT_POSITIVE}:
                states[row, column] = 1
            elif state in {LabelState.READER_NEGATIVE, LabelState.TEXT_NEGATIVE}:
                states[row, column] = 0
            else:
                states[row, column] = _written_of(pairs, index, key, domains)
    return states


def quick_measures(embedded: Embedded, keys: Sequence[str], processes: Processes = ALONE) -> dict[str, float]:
    """Return what is logged after each epoch, without intervals; a finding without both kinds of images has no AUC."""
    found, states, scores = rank_texts(embedded, processes).ranks, embedded.of.states, _zero_shot(embedded)
    measures = {f"recall_at_{k}": float((found <= k).mean()) for k in RECALL_AT}
    everything = np.ones((1, len(found)))
    for column, key in enumerate(keys):
        known = states[:, column] >= 0
        if len(set(states[known, column])) == 2:
            statistic = auc(scores[known, column], states[known, column] == 1)
            measures[f"auc_{key}"] = float(statistic(everything[:, known])[0])
    return measures


def measure(embedded: Embedded, pairs: Pairs, keys: Sequence[str], draws: int, seed: int) -> dict[str, Any]:
    """Return all measures with patient-bootstrap intervals, and what chance would reach, as JSON values."""
    written = embedded.of
    texts, by_text = rank_texts(embedded), rank_images(embedded)
    images = Ranked(by_text.ranks[written.own], by_text.right[written.own], by_text.candidates)
    resamples = draw_patients([pairs.data.rows[int(index)].patient_id for index in written.indices], draws, seed)
    scores, zero_shot = _zero_shot(embedded), {}
    for column, key in enumerate(keys):
        known = written.states[:, column] >= 0
        present = written.states[known, column] == 1
        zero_shot[key] = {
            "positive": int(present.sum()),
            "negative": int((~present).sum()),
            "auc": _measured(auc(scores[known, column], present), resamples.of(known)) if known.any() else None,
        }
    return {
        "images": len(written.indices),
        "patients": len({pairs.data.rows[int(index)].patient_id for index in written.indices}),
        "different_texts": len(written.texts),
        "image_to_text": _retrieved(texts, resamples),
        "text_to_image": _retrieved(images, resamples),
        "zero_shot": zero_shot,
        "per_image": {
            pairs.data.rows[int(index)].image: {"rank_of_text": int(text), "rank_of_image": int(image)}
            for index, text, image in zip(written.indices, texts.ranks, images.ranks, strict=True)
        },
    }


def _retrieved(found: Ranked, resamples: Resamples) -> dict[str, Any]:
    measures: dict[str, Any] = {
        f"recall_at_{k}": _measured(mean_of((found.ranks <= k).astype(np.float64)), resamples)
        | {"chance": chance_recall(found.right, found.candidates, k)}
        for k in RECALL_AT
    }
    return measures | {
        "mean_reciprocal_rank": _measured(mean_of(1.0 / found.ranks), resamples),
        "median_rank": float(np.median(found.ranks)),
    }


def _measured(statistic: Statistic, resamples: Resamples) -> dict[str, Any]:
    return asdict(estimate(statistic, resamples))


def _zero_shot(embedded: Embedded) -> NDArray[np.float64]:
    """Cosine with the sentences for a finding, less that with the sentences against it: (N, F)."""
    direction = (embedded.findings[:, 0] - embedded.findings[:, 1]).double()
    return np.asarray((embedded.images.double() @ direction.T).cpu().numpy(), dtype=np.float64)


def _written_of(pairs: Pairs, index: int, key: str, domains: LabelDomains) -> int:
    said = {statement for statement in pairs.known[index] if isinstance(statement, Statement) and not statement.side}
    names = domains.names(key)
    of_finding = {statement.present for statement in said if plain(statement.finding) in names}
    if True in of_finding:
        return 1
    return 0 if of_finding or Statement(ABNORMALITY, False) in said else -1
