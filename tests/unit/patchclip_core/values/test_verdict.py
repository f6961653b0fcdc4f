"""What is said of a finding: an absence or a presence only where one was measured to mean something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import NEVER_FIRM, Finding, FindingState, Sensitivity, verdict
from patchclip_core.values.statement import basis_line, sensitivity_line
from patchclip_core.values.wording import load_wordings
from tests.support.synthetic import MISSES_MANY, USEFUL, not_seen

DEFINITIONS = load_findings()


@pytest.mark.parametrize(
    ("sensitivity", "lookalikes", "said"),
    [
        (USEFUL, (), FindingState.ABSENT),
        (replace(USEFUL, low=0.9), (), FindingState.ABSENT),
        (replace(USEFUL, low=0.899), (), FindingState.NOT_SEEN),
        (replace(USEFUL, value=1.0, low=1.0, positives=36), (), FindingState.ABSENT),
        (replace(USEFUL, value=1.0, low=1.0, positives=34), (), FindingState.NOT_SEEN),  # all of few: little is known
        (replace(USEFUL, value=1.0, low=1.0, positives=1), (), FindingState.NOT_SEEN),
        (replace(USEFUL, value=1.0, low=1.0, positives=0), (), FindingState.NOT_SEEN),
        (replace(USEFUL, low=None, high=None), (), FindingState.NOT_SEEN),
        (MISSES_MANY, (), FindingState.NOT_SEEN),
        (None, (), FindingState.NOT_SEEN),
        (USEFUL, ("nodule_mass",), FindingState.NOT_SEEN),
    ],
)
def test_an_absence_needs_a_sensitivity_that_is_known_to_be_high_and_no_lookalike(
    sensitivity: Sensitivity | None, lookalikes: tuple[str, ...], said: FindingState
) -> None:
    assert verdict(0.16, 0.55, sensitivity, lookalikes=lookalikes) is said
    assert verdict(0.55, 0.55, sensitivity, lookalikes=lookalikes) is FindingState.PRESENT


@pytest.mark.parametrize(
    ("probability", "firm", "said"),
    [
        (0.549, 0.8, FindingState.NOT_SEEN),
        (0.55, 0.8, FindingState.POSSIBLE),
        (0.799, 0.8, FindingState.POSSIBLE),
        (0.8, 0.8, FindingState.PRESENT),
        (0.55, None, FindingState.PRESENT),  # nothing firmer is known
        (0.55, NEVER_FIRM, FindingState.POSSIBLE),
        (1.0, NEVER_FIRM, FindingState.POSSIBLE),
    ],
)
def test_a_finding_is_only_possible_below_what_few_images_without_it_reach(
    probability: float, firm: float | None, said: FindingState
) -> None:
    assert verdict(probability, 0.55, MISSES_MANY, firm_threshold=firm) is said


@pytest.mark.parametrize("state", [FindingState.PRESENT, FindingState.POSSIBLE, FindingState.NOT_SEEN])
def test_no_finding_can_contradict_its_own_threshold(state: FindingState) -> None:
    with pytest.raises(ValueError, match="with the threshold"):
        Finding("opacity", state, 0.49 if state.is_found else 0.51, 0.5)


def test_how_high_is_a_setting() -> None:
    assert verdict(0.16, 0.55, MISSES_MANY, useful=0.5) is FindingState.ABSENT
    assert verdict(0.16, 0.55, USEFUL, useful=0.95) is FindingState.NOT_SEEN


@pytest.mark.parametrize(("sensitivity", "lookalikes"), [(None, ()), (USEFUL, ("nodule_mass",))])
def test_no_finding_can_be_absent_without_what_an_absence_needs(
    sensitivity: Sensitivity | None, lookalikes: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="measured sensitivity and no lookalike"):
        Finding("opacity", FindingState.ABSENT, 0.1, 0.5, sensitivity=sensitivity, lookalikes=lookalikes)


def test_what_is_not_seen_says_basis_line() -> None:
    assert basis_line(not_seen("opacity"), DEFINITIONS) == "sensitivity never measured"
    assert basis_line(not_seen("opacity", MISSES_MANY, ("nodule_mass", "hernia")), DEFINITIONS) == (
        "sensitivity 64 % (54 % to 73 %) in 144 images with it, by radiologists; could be seen as it, and is not "
        "evaluated: lung nodule or mass, hernia"
    )
    assert sensitivity_line(not_seen("opacity", replace(MISSES_MANY, low=None))) == "sensitivity 64 %"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "de",
            "Sensitivität 64 % (54 % bis 73 %) bei 144 Bildern mit diesem Befund, laut Radiologen; kann ebenso "
            "aussehen und wird nicht beurteilt: Lungenrundherd oder Raumforderung",
        ),
        (
            "fr",
            "sensibilité 64 % (54 % à 73 %) sur 144 images qui le montrent, selon les radiologues ; peut avoir le même "
            "aspect et n'est pas évalué : nodule ou masse pulmonaire",
        ),
    ],
)
def test_it_says_so_in_every_language(language: str, said: str) -> None:
    names = {key: definition.in_language(language) for key, definition in DEFINITIONS.items()}

    assert basis_line(not_seen("opacity", MISSES_MANY, ("nodule_mass",)), names, load_wordings()[language]) == said
