"""Which of the orders behind an image its results repeat: a bounded number, however many a sender wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from pydicom import Dataset

from patchclip_core.io.elements import items, text

MOST_CARRIED_ITEMS: Final = 16
"""The most items that results take over of a sequence: an examination answers a handful of orders."""

ORDER_KEYWORDS: Final = (
    "AccessionNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "StudyInstanceUID",
)
"""What an item of Request Attributes Sequence (PS3.3 10-9a) shares with one of Referenced Request Sequence (C.17.2)."""


def orders(dataset: Dataset) -> tuple[Dataset, ...]:
    """Return the items of Request Attributes Sequence that results repeat, in time linear in what there is.

    The first `MOST_CARRIED_ITEMS` that say something and are not yet there, in their order; where none says anything,
    the first one, since what it leaves out is then said by the image itself. None where the sequence is absent.
    """
    requests = items(dataset, "RequestAttributesSequence")
    return tuple(islice(_telling(requests), MOST_CARRIED_ITEMS)) or tuple(requests[:1])


def _telling(requests: Iterable[Dataset]) -> Iterator[Dataset]:
    seen = {("",) * len(ORDER_KEYWORDS)}
    for request in requests:
        says = tuple(text(request, keyword) for keyword in ORDER_KEYWORDS)
        if says not in seen:
            seen.add(says)
            yield request
