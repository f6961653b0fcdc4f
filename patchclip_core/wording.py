"""How everything that shows findings speaks: reports, pictures, pages and notebooks."""

from __future__ import annotations

from patchclip_core.types import ModelIdentity

RESEARCH_STATEMENT = "Research software. Not for diagnosis."
UNTRAINED_WARNING = "UNTRAINED MODEL"


def percent(probability: float) -> str:
    """Write a probability in [0, 1] as a reader expects it: '87 %', and never as certain: '<1 %', '>99 %'."""
    if probability < 0.01:
        return "<1 %"
    if probability > 0.99:
        return ">99 %"
    return f"{100 * probability:.0f} %"


def short_digest(model: ModelIdentity) -> str:
    """Return the first 12 hexadecimal digits of the weights digest, enough for a person to compare."""
    return model.weights_digest.removeprefix("sha256:")[:12]


def model_line(model: ModelIdentity) -> str:
    """Name the model in one line."""
    return f"{model.name} {model.version}, weights {short_digest(model)}"
