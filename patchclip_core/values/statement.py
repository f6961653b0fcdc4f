"""What is said of a finding, in words first: one statement, which every picture, page, report and terminal repeats.

A probability alone misleads: 13 % of one finding may be above its operating point, and 48 % of another below. So the
verdict comes first, and a number stands beside its threshold and beside what is as probable among images whose truth is
known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import NEVER_FIRM, Finding, FindingState
from patchclip_core.values.wording import ENGLISH, Wording, percent

NOTHING_SEEN: Final = "nothing above its threshold, which rules nothing out"
"""What is said in one line of images in which nothing was found."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of one finding of one image, in one language.

    name: of the finding. verdict: in words. places: where it was found, the clearest first; empty where it was not.
    number: its probability beside what it is to be read by; '' where it was not evaluated. basis: why it was not
    evaluated, or what it rests on that it was not seen or is absent; '' where it was found. wording: the language.
    """

    name: str
    state: FindingState
    verdict: str
    places: tuple[str, ...]
    number: str
    basis: str
    wording: Wording

    @property
    def where(self) -> str:
        """Where it is; said too where a finding has no place, and '' of one that was not found."""
        if not self.state.is_found:
            return ""
        return "; ".join(self.places) or self.wording.say("no place marked")

    @property
    def headline(self) -> str:
        """Say the verdict: 'pleural effusion: possible'."""
        return self.wording.say("{name}: {verdict}", name=self.name, verdict=self.verdict)

    @property
    def in_short(self) -> str:
        """Say what and where: 'pleural effusion: possible (patient's left, lower half)'."""
        return f"{self.headline} ({self.where})" if self.where else self.headline

    @property
    def line(self) -> str:
        """Say all: 'pleural effusion: possible (patient's left, lower half); probability 70 %, possible from ...'."""
        return "; ".join(filter(None, (self.in_short, self.number, self.basis)))


def statement(
    finding: Finding,
    definitions: Mapping[str, FindingDefinition],
    wording: Wording = ENGLISH,
    places: Iterable[str] = (),
) -> Statement:
    """Return what is said of a finding. definitions: with the names in that language. places: of its regions."""
    return Statement(
        name=definitions[finding.key].name if finding.key in definitions else finding.key,
        state=finding.state,
        verdict=_verdict(finding, wording),
        places=tuple(dict.fromkeys(places)),
        number=number_line(finding, wording),
        basis=basis_line(finding, definitions, wording),
        wording=wording,
    )


def _verdict(finding: Finding, wording: Wording) -> str:
    verdict = wording.say(finding.state.value)
    return f"{verdict} ({wording.say('asked by free text, experimental')})" if finding.experimental else verdict


def number_line(finding: Finding, wording: Wording = ENGLISH) -> str:
    """Say the probability beside its thresholds, and in how many images with and without the finding it is as high."""
    if finding.probability is None or finding.threshold is None:
        return ""
    probability, threshold = percent(finding.probability), percent(finding.threshold)
    if finding.firm_threshold is None:
        said = wording.say(
            "probability {probability}, threshold {threshold}", probability=probability, threshold=threshold
        )
    elif finding.firm_threshold >= NEVER_FIRM:
        said = wording.say(
            "probability {probability}, possible from {threshold}, never called present",
            probability=probability,
            threshold=threshold,
        )
    else:
        said = wording.say(
            "probability {probability}, possible from {threshold}, present from {firm}",
            probability=probability,
            threshold=threshold,
            firm=percent(finding.firm_threshold),
        )
    if finding.scores is None:
        return said
    with_it, without_it = finding.scores.at_least(finding.probability)
    return wording.say(
        "{number}; as high in {with_it} of images with it and in {without_it} of those without",
        number=said,
        with_it=percent(with_it),
        without_it=percent(without_it),
    )


def basis_line(finding: Finding, definitions: Mapping[str, FindingDefinition], wording: Wording = ENGLISH) -> str:
    """Say why a finding was not evaluated, or what it rests on that it was not seen, or is absent; else ''."""
    if finding.state.is_found:
        return ""
    if finding.state is FindingState.NOT_EVALUATED:
        return wording.repeat(finding.reason or "")
    return _what_it_rests_on(finding, definitions, wording)


def sensitivity_line(finding: Finding, wording: Wording = ENGLISH) -> str:
    """Say in how many images with the finding the model saw it: 'sensitivity 64 % (54 to 73 %)'."""
    measured = finding.sensitivity
    if measured is None:
        return wording.say("sensitivity never measured")
    if measured.low is None or measured.high is None:
        return wording.say("sensitivity {value}", value=percent(measured.value))
    return wording.say(
        "sensitivity {value} ({low} to {high})",
        value=percent(measured.value),
        low=percent(measured.low),
        high=percent(measured.high),
    )


def _what_it_rests_on(finding: Finding, definitions: Mapping[str, FindingDefinition], wording: Wording) -> str:
    """Say the sensitivity, and what may look like the finding.

    'sensitivity 64 % (54 % to 73 %) in 144 images with it, by radiologists; could be seen as it, and is not evaluated:
    lung nodule or mass'
    """
    said = sensitivity_line(finding, wording)
    if (measured := finding.sensitivity) is not None:
        said = wording.say(
            "{sensitivity} in {positives} images with it, by {judges}",
            sensitivity=said,
            positives=measured.positives,
            judges=wording.repeat(measured.judged_by),
        )
    if not finding.lookalikes:
        return said
    names = (definitions[key].name if key in definitions else key for key in finding.lookalikes)
    return wording.say(
        "{said}; could be seen as it, and is not evaluated: {findings}", said=said, findings=", ".join(names)
    )
