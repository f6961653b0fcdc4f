"""Cases whose truth a site knows: from its readers' verdicts, or from a folder that readers labelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.values.judged_case import COLUMNS, JudgedCase
from patchclip_trainer.data.label_domains import LabelState
from patchclip_trainer.data.listing import read_table
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.measure_table import Measured
from patchclip_trainer.evaluation.truth import FindingTruth

_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Cases of one finding at a site: what the checkpoint said, what is true, and whose they are. All (N,)."""

    probabilities: NDArray[np.float64]
    truth: NDArray[np.bool_]
    patients: tuple[str, ...]

    @property
    def fold_of(self) -> NDArray[np.intp]:
        """The fold of each case, (N,): a patient is in one, and the same patients are always in the same ones."""
        names = sorted(set(self.patients))
        order = np.random.default_rng(0).permutation(len(names))
        fold_of_patient = {names[index]: position % _FOLDS for position, index in enumerate(order)}
        return np.array([fold_of_patient[patient] for patient in self.patients], dtype=np.intp)

    @property
    def by_readers(self) -> FindingTruth:
        """The same as what readers said of images, none of which has a box."""
        states = tuple(LabelState.POSITIVE if there else LabelState.READER_NEGATIVE for there in self.truth)
        number = len(states)
        return FindingTruth(states, (LabelState.UNKNOWN,) * number, ((),) * number, (False,) * number)


def read_verdicts(path: Path, checkpoint: str = "") -> dict[str, Known]:
    """Read a CSV file of verdicts, as `patchclip_core.values.judged_case` has its lines.

    checkpoint: whose probabilities they have to be, where a line says it. Raises `DataError`, which names the line that
    cannot be used.
    """
    found: dict[str, list[JudgedCase]] = defaultdict(list)
    for place, cells in read_table(path, COLUMNS):
        try:
            case = JudgedCase.read(cells)
        except ValueError as error:
            raise DataError(f"{place}: {error}") from error
        if checkpoint and case.checkpoint and case.checkpoint != checkpoint:
            raise DataError(
                f"{place}: the probability is one of {case.checkpoint}, and --checkpoint is {checkpoint}: calibrate "
                "the one that said it"
            )
        found[case.finding].append(case)
    return {
        key: Known(
            np.array([case.probability for case in cases]),
            np.array([case.is_there for case in cases], dtype=bool),
            tuple(case.patient for case in cases),
        )
        for key, cases in found.items()
    }


def known_by_readers(measured: Measured) -> dict[str, Known]:
    """Return the cases of a labelled folder: images whose readers looked for a finding, with a probability."""
    rows = measured.predictions.rows
    found = {}
    for key, truth in measured.truths.items():
        probabilities = measured.predictions.of(key)[0]
        index = np.flatnonzero(truth.read & np.isfinite(probabilities))
        patients = tuple(rows[int(number)].patient_id for number in index)
        found[key] = Known(probabilities[index], truth.positive[index], patients)
    return found


def lines_of(known: Mapping[str, Known]) -> Sequence[str]:
    """Return the cases as text, without their patients: what a digest is taken of."""
    return [
        f"{key} {probability!r} {truth}"
        for key, cases in sorted(known.items())
        for probability, truth in zip(cases.probabilities.tolist(), cases.truth.tolist(), strict=True)
    ]
