"""The main measures of each source and of each view apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Resamples
from patchclip_trainer.data.label_domains import LabelDomains
from patchclip_trainer.evaluation.baselines import MapSystem
from patchclip_trainer.evaluation.compare_predictions import Opponent, compare_labels
from patchclip_trainer.evaluation.image_measures import image_measures, label_measures
from patchclip_trainer.evaluation.place_measures import PATCH_MAP, PlacedMaps, place_maps, place_measures
from patchclip_trainer.evaluation.predictions import Predictions
from patchclip_trainer.evaluation.records import Record
from patchclip_trainer.evaluation.truth import FindingTruth


def group_measures(
    names: Sequence[str],
    predictions: Predictions,
    truths: Mapping[str, FindingTruth],
    placed: Mapping[str, Mapping[str, PlacedMaps]],
    labelled: NDArray[np.bool_],
    resamples: Resamples,
    domains: LabelDomains,
    opponents: Sequence[Opponent],
) -> Record:
    """Return the main measures of each source or view apart.

    names: of each image; an empty one is `not given`.
    """
    group = np.array([name or "not given" for name in names])
    maps = {key: MapSystem(PATCH_MAP, {key: predictions.of(key)[1]}, "") for key in placed if PATCH_MAP in placed[key]}
    scored_by = domains.image_labels.scored_by
    record: Record = {}
    for name in sorted(set(group)):
        members = group == name
        findings: Record = {}
        for key, truth in truths.items():
            judged = truth.placed & members
            found = None
            if key in maps and bool((truth.boxed & members).any()):
                found = place_maps(maps[key], key, truth, predictions.sizes_px, judged)
            probabilities = predictions.of(key)[0]
            findings[key] = {
                "readers": image_measures(probabilities, truth.positive, truth.read & members, resamples),
                "text_mined": image_measures(probabilities, truth.text_positive, truth.text_known & members, resamples),
                "place": {"lesions": len(found.cases.lesion_image), **place_measures(found, resamples.of(judged))}
                if found
                else None,
            }
        record[name] = {
            "images": int(members.sum()),
            "findings": findings,
            "image_labels": label_measures(predictions, scored_by, labelled & members, resamples),
            "against": {
                other.name: compare_labels(other, predictions, scored_by, labelled & members, resamples)
                for other in opponents
            },
        }
    return record
