"""What the readers of a split said, in the order of its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.label_domains import (
    LabelDomains,
    LabelState,
    Lesion,
    label_of,
    lesions_of,
    rest_known,
    text_label_of,
)
from patchclip_trainer.data.manifest import BoxRow, ImageRow


@dataclass(frozen=True, slots=True)
class FindingTruth:
    """What is known of one finding in each of N images.

    states: readers first, then text. text: the text-mined labels alone. lesions: of positive images, where boxes are.
    rest_known: whether the finding is known to be absent outside of an image's lesions.
    """

    states: tuple[LabelState, ...]
    text: tuple[LabelState, ...]
    lesions: tuple[tuple[Lesion, ...], ...]
    rest_known: tuple[bool, ...]

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Images in which place is judged: readers looked, and where they saw the finding they drew boxes. (N,)."""
        return np.array(
            [
                state is LabelState.READER_NEGATIVE or (state is LabelState.POSITIVE and bool(drawn))
                for state, drawn in zip(self.states, self.lesions, strict=True)
            ],
            dtype=bool,
        )

    @property
    def boxed(self) -> NDArray[np.bool_]:
        """Images with a lesion. (N,)."""
        return np.array([bool(drawn) for drawn in self.lesions], dtype=bool)

    @property
    def has_froc(self) -> bool:
        """Whether a lesion is to be found, and an image is there whose false positives count."""
        return bool(self.boxed.any() and (self.placed & np.array(self.rest_known, dtype=bool)).any())

    @property
    def read(self) -> NDArray[np.bool_]:
        """Images whose readers looked for it. (N,)."""
        return np.array([state.read for state in self.states], dtype=bool)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Images whose readers saw it. (N,)."""
        return np.array([state is LabelState.POSITIVE for state in self.states], dtype=bool)

    @property
    def text_known(self) -> NDArray[np.bool_]:
        """Images whose text-mined labels say something of it. (N,)."""
        return np.array([state is not LabelState.UNKNOWN for state in self.text], dtype=bool)

    @property
    def text_positive(self) -> NDArray[np.bool_]:
        """Images whose text-mined labels name it. (N,)."""
        return np.array([state is LabelState.TEXT_POSITIVE for state in self.text], dtype=bool)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images in each state."""
        found = Counter(self.states)
        return {state.value: found[state] for state in LabelState}


def truth_of(
    rows: Sequence[ImageRow], boxes: Mapping[str, Sequence[BoxRow]], finding: str, domains: LabelDomains
) -> FindingTruth:
    """Return what is known of a finding in these images. boxes: by image."""
    states = tuple(label_of(row, boxes.get(row.image, ()), finding, domains) for row in rows)
    return FindingTruth(
        states,
        tuple(text_label_of(row, finding, domains) for row in rows),
        tuple(
            lesions_of(boxes.get(row.image, ()), finding, domains) if state is LabelState.POSITIVE else ()
            for row, state in zip(rows, states, strict=True)
        ),
        tuple(rest_known(row, boxes.get(row.image, ()), finding, domains) for row in rows),
    )


def text_labelled(rows: Sequence[ImageRow], domains: LabelDomains) -> NDArray[np.bool_]:
    """Return which images have labels that are measured one by one. (N,)."""
    return np.array([row.source in domains.image_labels.sources and bool(row.labels) for row in rows], dtype=bool)
