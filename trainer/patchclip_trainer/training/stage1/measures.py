"""How well images find their texts and texts their images, and what the network says of findings by their sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.losses import bounded_scale, report_contrastive_loss
from patchclip_trainer.data.label_domains import LabelDomains, LabelState, label_of
from patchclip_trainer.data.names import plain
from patchclip_trainer.data.statements import ABNORMALITY, Statement
from patchclip_trainer.metrics.bootstrap import Resamples, Statistic, draw_patients, estimate, mean_of
from patchclip_trainer.metrics.retrieval import chance_recall, ranks
from patchclip_trainer.metrics.roc import auc
from patchclip_trainer.training.stage1.pairs import Pairs, Text

RECALL_AT: Final = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Held-out images and all that is written of each.

    indices: (N,) into the prepared data. images: (N, D). texts: the U different texts. reports: (U, D). own: (N,), each
    image's text. holds: (N, U) bool. findings: (F, 2, D), sentences for and against each finding. All of length 1.
    """

    indices: NDArray[np.int64]
    images: torch.Tensor
    texts: tuple[Text, ...]
    reports: torch.Tensor
    own: NDArray[np.int64]
    holds: NDArray[np.bool_]
    findings: torch.Tensor


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


def contrast(embedded: Embedded, logit_scale: torch.Tensor, size: int) -> float:
    """Return the loss of held-out images in batches of about this size, against the texts of each batch."""
    count, total = len(embedded.indices), 0.0
    for places in np.array_split(np.arange(count), -(-count // size)):
        columns = np.unique(embedded.own[places])
        loss = report_contrastive_loss(
            embedded.images[places],
            embedded.reports[columns],
            bounded_scale(logit_scale),
            torch.from_numpy(embedded.holds[np.ix_(places, columns)]).to(embedded.images.device),
        )
        total += loss.item() * len(places)
    return total / count


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


def quick_measures(embedded: Embedded, states: NDArray[np.int8], keys: Sequence[str]) -> dict[str, float]:
    """Return what is logged after each epoch, without intervals; a finding without both kinds of images has no AUC."""
    similarities = _similarities(embedded)
    found = ranks(similarities, embedded.holds)
    measures = {f"recall_at_{k}": float((found <= k).mean()) for k in RECALL_AT}
    everything = np.ones((1, len(found)))
    for column, key in enumerate(keys):
        known = states[:, column] >= 0
        if len(set(states[known, column])) == 2:
            statistic = auc(_zero_shot(embedded)[known, column], states[known, column] == 1)
            measures[f"auc_{key}"] = float(statistic(everything[:, known])[0])
    return measures


def measure(
    embedded: Embedded, pairs: Pairs, states: NDArray[np.int8], keys: Sequence[str], draws: int, seed: int
) -> dict[str, Any]:
    """Return all measures with patient-bootstrap intervals, and what chance would reach, as JSON values."""
    similarities, holds = _similarities(embedded), embedded.holds
    of_images = holds[:, embedded.own].T  # (N reports, N images): which images an image's own text holds for
    resamples = draw_patients([pairs.data.rows[int(index)].patient_id for index in embedded.indices], draws, seed)
    ways = {
        "image_to_text": _ranked(ranks(similarities, holds), holds, resamples),
        "text_to_image": _ranked(ranks(similarities[:, embedded.own].T, of_images), of_images, resamples),
    }
    scores, zero_shot = _zero_shot(embedded), {}
    for column, key in enumerate(keys):
        known = states[:, column] >= 0
        present = states[known, column] == 1
        zero_shot[key] = {
            "positive": int(present.sum()),
            "negative": int((~present).sum()),
            "auc": _measured(auc(scores[known, column], present), resamples.of(known)) if known.any() else None,
        }
    return {
        "images": len(embedded.indices),
        "patients": len({pairs.data.rows[int(index)].patient_id for index in embedded.indices}),
        "different_texts": len(embedded.texts),
        **ways,
        "zero_shot": zero_shot,
        "per_image": {
            pairs.data.rows[int(index)].image: {"rank_of_text": int(text), "rank_of_image": int(image)}
            for index, text, image in zip(
                embedded.indices,
                ranks(similarities, holds),
                ranks(similarities[:, embedded.own].T, of_images),
                strict=True,
            )
        },
    }


def _ranked(found: NDArray[np.int64], relevant: NDArray[np.bool_], resamples: Resamples) -> dict[str, Any]:
    measures: dict[str, Any] = {
        f"recall_at_{k}": _measured(mean_of((found <= k).astype(np.float64)), resamples)
        | {"chance": chance_recall(relevant, k)}
        for k in RECALL_AT
    }
    return measures | {
        "mean_reciprocal_rank": _measured(mean_of(1.0 / found), resamples),
        "median_rank": float(np.median(found)),
    }


def _measured(statistic: Statistic, resamples: Resamples) -> dict[str, Any]:
    return asdict(estimate(statistic, resamples))


def _similarities(embedded: Embedded) -> NDArray[np.float64]:
    return np.asarray((embedded.images.double() @ embedded.reports.double().T).cpu().numpy(), dtype=np.float64)


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
