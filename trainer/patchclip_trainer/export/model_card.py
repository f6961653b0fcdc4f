"""The card in words, for a person: `README.md` beside the weights."""

from __future__ import annotations

from collections.abc import Sequence

from patchclip_core.models.card import Evidence, FindingCard, Interval, ModelCard
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import NEVER_FIRM, FindingState, verdict

MODEL_CARD_FILE = "README.md"


def describe(card: ModelCard) -> str:
    """Return the card as Markdown."""
    decided = [finding for finding in card.findings if not finding.not_evaluated]
    grid = card.preprocess.grid
    parts = [
        f"# {card.name} {card.version}",
        card.statement,
        _table(
            ("", ""),
            [
                ("Architecture", card.architecture),
                ("Input", f"{card.preprocess.input_px} px, {grid.rows} x {grid.columns} patches"),
                ("Weights", f"`{card.weights_digest}`"),
                ("Licence", card.licence),
            ],
        ),
        "## Trained on",
        card.training_data,
        *_counts(card),
        "## How well it does",
        card.calibration or "Nothing is known of it: it was neither calibrated nor measured.",
        "What depends on a choice is measured on other patients than those that it was chosen by. A probability holds "
        "where as many images have the finding as here (*With it*); where fewer have it, it says too much.",
        _table(
            (
                "Finding",
                "Judged by",
                "+ / -",
                "With it",
                "AUC",
                "Threshold",
                "Sensitivity",
                "Specificity",
                "Calibration error",
                "before",
            ),
            [_image_row(finding) for finding in decided],
        ),
        "From its threshold on a finding is said to be possible, and present from the one below on. Where it has none, "
        "the threshold is as firm, or nothing is known of it. What too few images taught is never said to be present.",
        _table(
            ("Finding", "Present from", "Sensitivity there", "Specificity there"),
            [_firm_row(finding) for finding in decided],
        ),
        _absence(card, decided),
        "## Where it points",
        "Mean sensitivity: over lesions, at 0.125 to 2 false positives an image. Regions: as shown, in images called "
        "present. A finding that is not listed here is reported without a place.",
        _table(
            (
                "Finding",
                "Lesions",
                "Mean sensitivity",
                "Region threshold",
                "Lesions in a region",
                "False regions an image",
                "Overlap with boxes",
            ),
            [_place_row(finding) for finding in decided if finding.extent == "localised"],
        ),
    ]
    if card.held_out:
        parts += [
            "## These weights themselves",
            card.held_out,
            _table(
                ("Finding", "Judged by", "+ / -", "AUC", "Sensitivity", "Specificity", "Calibration error"),
                [_own_row(finding, finding.held_out) for finding in card.findings if finding.held_out is not None],
            ),
            _table(
                ("Finding", "Lesions", "Mean sensitivity", "Lesions in a region", "False regions an image"),
                [
                    _own_place_row(finding, finding.held_out)
                    for finding in card.findings
                    if finding.held_out is not None and finding.held_out.mean_sensitivity is not None
                ],
            ),
        ]
    if silent := [finding for finding in card.findings if finding.not_evaluated]:
        parts += [
            "## Not evaluated",
            _table(("Finding", "Why"), [(_name(each), each.not_evaluated) for each in silent]),
        ]
    if unsaid := [_name(finding) for finding in card.findings if not finding.reported]:
        parts.append(f"Learned and measured, but not reported: {', '.join(unsaid)}.")
    return "\n\n".join(parts) + "\n"


def _absence(card: ModelCard, decided: Sequence[FindingCard]) -> str:
    below = {
        _name(each): verdict(
            0.0, each.threshold, each.sensitivity, card.useful_sensitivity, card.unevaluated_lookalikes(each)
        )
        for each in decided
        if each.reported
    }
    said = ", ".join(name for name, state in below.items() if state is FindingState.ABSENT)
    return (
        "Below its threshold a finding is said to be absent where the lower end of its sensitivity's interval reaches "
        f"{card.useful_sensitivity:g} and no finding that looks like it goes unevaluated, else not seen by this model. "
        f"Said to be absent: {said or 'none'}."
    )


def _counts(card: ModelCard) -> list[str]:
    rows = [
        (_name(finding), str(counted.positive), str(counted.negative), str(counted.boxes))
        for finding in card.findings
        if (counted := finding.trained_on) is not None
    ]
    return [_table(("Finding", "Positive images", "Negative images", "Boxes"), rows)] if rows else []


def _image_row(finding: FindingCard) -> tuple[str, ...]:
    evidence = finding.evidence
    if evidence is None:
        return (_name(finding), "", "", "", "", f"{finding.threshold:.3f}", "", "", "", "")
    judged = evidence.positives + evidence.negatives
    return (
        _name(finding),
        evidence.judged_by,
        f"{evidence.positives} / {evidence.negatives}",
        f"{100 * evidence.positives / judged:.0f} %" if judged else "",
        _shown(evidence.auc),
        f"{finding.threshold:.3f}",
        _shown(evidence.sensitivity),
        _shown(evidence.specificity),
        _shown(evidence.calibration_error),
        _shown(evidence.calibration_error_before),
    )


def _firm_row(finding: FindingCard) -> tuple[str, ...]:
    evidence, firm = finding.evidence, finding.firm_threshold
    if evidence is None or firm is None:
        return (_name(finding), f"{finding.threshold:.3f}", "", "")
    if firm >= NEVER_FIRM:
        return (_name(finding), "never", "", "")
    return (_name(finding), f"{firm:.3f}", _shown(evidence.firm_sensitivity), _shown(evidence.firm_specificity))


def _place_row(finding: FindingCard) -> tuple[str, ...]:
    evidence = finding.evidence
    if evidence is None:
        return (_name(finding), "", "", f"{finding.region_threshold:.3f}", "", "", "")
    return (
        _name(finding),
        str(evidence.lesions),
        _shown(evidence.mean_sensitivity),
        f"{finding.region_threshold:.3f}",
        _shown(evidence.region_sensitivity),
        _shown(evidence.region_false_positives),
        _shown(evidence.region_overlap),
    )


def _own_row(finding: FindingCard, own: Evidence) -> tuple[str, ...]:
    return (
        _name(finding),
        own.judged_by,
        f"{own.positives} / {own.negatives}",
        _shown(own.auc),
        _shown(own.sensitivity),
        _shown(own.specificity),
        _shown(own.calibration_error),
    )


def _own_place_row(finding: FindingCard, own: Evidence) -> tuple[str, ...]:
    return (
        _name(finding),
        str(own.lesions),
        _shown(own.mean_sensitivity),
        _shown(own.region_sensitivity),
        _shown(own.region_false_positives),
    )


def _name(finding: FindingCard) -> str:
    definitions = load_findings()
    return definitions[finding.key].name if finding.key in definitions else finding.key.replace("_", " ")


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
