"""How well the node's model does on a site's own images with a table of labels: pure, from probabilities to figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Estimate, Resamples, draw_patients, estimate, mean_of
from patchclip_core.statistics.roc import auc
from patchclip_core.statistics.thresholds import cuts

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
Record = dict[str, Any]

AGE_BANDS: Final = ((40, "under 40"), (65, "40 to 64"), (200, "65 and over"))
NOT_GIVEN: Final = "not given"
FEW: Final = 20
"""Positives or negatives below which no threshold is proposed: one more image would move it."""

_DECIMALS: Final = 5


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of the table. labels: finding -> whether it is there; one that is not in it is unknown."""

    image: str
    patient_id: str
    labels: Mapping[str, bool]
    sex: str = ""
    age_years: int | None = None
    view: str = ""
    manufacturer: str = ""

    @property
    def groups(self) -> Mapping[str, str]:
        """The subgroup that it belongs to, by what subgroups are made by."""
        age = self.age_years
        band = NOT_GIVEN if age is None else next(name for below, name in AGE_BANDS if age < below)
        named = {"sex": self.sex, "view": self.view, "manufacturer": self.manufacturer}
        return {"age": band} | {by: value or NOT_GIVEN for by, value in named.items()}


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says of N images for one finding: probabilities (N,), NaN where it is not evaluated."""

    probabilities: Numbers
    threshold: float
    firm_threshold: float | None


def measured(
    images: Sequence[LabelledImage], answers: Mapping[str, Answers], draws: int, seed: int
) -> dict[str, Record]:
    """Return the figures of each finding that has labels of both kinds: over all images, and by subgroups."""
    resamples = draw_patients([one.patient_id for one in images], draws, seed)
    everywhere = np.ones(len(images), dtype=bool)
    groups = list(_subgroups(images))
    found: dict[str, Record] = {}
    for key, answer in answers.items():
        truth = np.array([one.labels.get(key, False) for one in images], dtype=bool)
        known = np.array([key in one.labels for one in images], dtype=bool) & np.isfinite(answer.probabilities)
        if not (truth & known).any() or not (~truth & known).any():
            continue
        found[key] = {
            "threshold": answer.threshold,
            "firm_threshold": answer.firm_threshold,
            **_figures(answer, truth, known & everywhere, resamples),
            "proposed": _proposed(answer, truth, known, resamples),
            "subgroups": {
                by: {name: _figures(answer, truth, known & members, resamples) for name, members in named.items()}
                for by, named in groups
            },
        }
    return found


def _subgroups(images: Sequence[LabelledImage]) -> Iterator[tuple[str, dict[str, Mask]]]:
    for by in ("sex", "age", "view", "manufacturer"):
        of_images = np.array([one.groups[by] for one in images])
        yield by, {name: of_images == name for name in sorted(set(of_images.tolist()))}


def _figures(answer: Answers, truth: Mask, chosen: Mask, resamples: Resamples) -> Record:
    values, labels, drawn = answer.probabilities[chosen], truth[chosen], resamples.of(chosen)
    both = bool(labels.any() and not labels.all())
    return {
        "positives": int(labels.sum()),
        "negatives": int((~labels).sum()),
        "auc": _record(estimate(auc(values, labels), drawn) if both else None),
        "at_threshold": _at(answer.threshold, values, labels, drawn),
        "at_firm_threshold": _at(answer.firm_threshold, values, labels, drawn),
    }


def _at(threshold: float | None, values: Numbers, labels: Mask, resamples: Resamples) -> Record | None:
    if threshold is None:
        return None
    called = values >= threshold
    return {
        "sensitivity": _share(called, labels, resamples),
        "specificity": _share(~called, ~labels, resamples),
    }


def _share(right: Mask, of: Mask, resamples: Resamples) -> Record:
    if not of.any():
        return _record(None)
    return _record(estimate(mean_of(right[of].astype(np.float64)), resamples.of(of)))


def _proposed(answer: Answers, truth: Mask, known: Mask, resamples: Resamples) -> Record | None:
    """Return the threshold of the highest sum of sensitivity and specificity here, and what it does to these images.

    The same images choose and judge it: it does better here than on others.
    """
    values, labels = answer.probabilities[known], truth[known]
    if min(int(labels.sum()), int((~labels).sum())) < FEW:
        return None
    possible = cuts(values, labels)
    threshold = possible.chosen(possible.youden)
    at = _at(threshold, values, labels, resamples.of(known))
    return {"threshold": round(threshold, _DECIMALS), "rule": "highest sum of sensitivity and specificity"} | (at or {})


def _record(found: Estimate | None) -> Record:
    record = asdict(found or Estimate(None, None, None, 1.0))
    return {name: _rounded(value) for name, value in record.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), _DECIMALS)
