"""How many digits of a finding's numbers leave the node in JSON, for programs and for the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from patchclip_core.values.results import Finding, Region

_DIGITS_OF_PROBABILITY: Final = 6
_DIGITS_OF_PX: Final = 2


def rounded(finding: Finding) -> Finding:
    """Return a finding whose numbers are plain floats of so few digits; its map stays as it is."""
    return replace(
        finding,
        probability=_probability(finding.probability),
        threshold=_probability(finding.threshold),
        firm_threshold=_probability(finding.firm_threshold),
        regions=tuple(map(_region, finding.regions)),
    )


def _region(region: Region) -> Region:
    x, y, w, h = (round(float(value), _DIGITS_OF_PX) for value in (region.x, region.y, region.w, region.h))
    return Region(x, y, w, h, round(float(region.score), _DIGITS_OF_PROBABILITY))


def _probability(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS_OF_PROBABILITY)
