"""How results speak: the sentences that the report, the segments, the overlay and the pages share."""

from __future__ import annotations

from patchclip_core.types import Finding, FindingState, ModelIdentity, Region
from patchclip_core.wording import RESEARCH_STATEMENT, UNTRAINED_WARNING, percent

SIDE_NOT_STATED = "Left and right are those of the image; its header does not state the patient's side."


def honesty(model: ModelIdentity) -> tuple[str, ...]:
    """Return what every result says of the model before it says anything of the patient."""
    sentences = [RESEARCH_STATEMENT]
    if not model.trained:
        sentences.append(f"{UNTRAINED_WARNING}: its weights are random, nothing that it reports has a meaning.")
    if model.statement:
        sentences.append(model.statement)
    if model.trained and not model.calibrated:
        sentences.append("The probabilities are not calibrated.")
    return tuple(sentences)


def state_line(name: str, finding: Finding) -> str:
    """Say in one line what was found: 'pleural effusion: present, probability 87 %, threshold 50 %'."""
    if finding.state is FindingState.NOT_EVALUATED:
        return f"{name}: not evaluated, {finding.reason}"
    assert finding.probability is not None
    assert finding.threshold is not None
    line = (
        f"{name}: {finding.state}, probability {percent(finding.probability)}, threshold {percent(finding.threshold)}"
    )
    return f"{line} (asked by free text, experimental)" if finding.experimental else line


def image_side(region: Region, columns: int) -> str | None:
    """Return 'left' or 'right' of the image for a region that lies mostly in one half, None for one in the middle."""
    middle = columns / 2
    in_left_half = (min(region.x + region.w, middle) - min(region.x, middle)) / region.w if region.w else 0.5
    if in_left_half >= 0.75:
        return "left"
    return "right" if in_left_half <= 0.25 else None
