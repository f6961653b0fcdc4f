"""The series that results are in: one for each object, with a number and a name of its own."""

from __future__ import annotations

from patchclip_core.values.results import ModelIdentity
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.wording import image_prefix


def series_number(variant: ResultVariant, context: ResultContext, image: AnalysedImage | None = None) -> int:
    """Return the Series Number: the first one plus the revision, or plus 100 a revision plus the image's number.

    image: None for a result of the whole study.
    """
    first = variant.kind.series_number if variant.series_number is None else variant.series_number
    return first + context.revision if image is None else first + 100 * context.revision + (image.number or 1)


def series_description(
    variant: ResultVariant, model: ModelIdentity, context: ResultContext, image: AnalysedImage | None = None
) -> str:
    """Return a Series Description, which always says which image is meant and what may be expected of the model."""
    wording, which = context.wording, "" if image is None else image_prefix(image, context.wording)
    what = variant.series_description or wording.say(variant.kind.series_description)
    kind_of_model = "{what} (research)" if model.trained else "{what}, UNTRAINED MODEL"
    room = 64 - len(which + wording.say(kind_of_model, what=""))  # of an LO (PS3.5 6.2)
    return which + wording.say(kind_of_model, what=what[:room])
