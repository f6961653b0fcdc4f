"""Looking into the content tree of a structured report."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset


def items(dataset: Dataset, meaning: str) -> list[Dataset]:
    """All content items of this concept name, in tree order."""
    return [item for item in _walk(dataset) if item.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def _walk(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in item:
            yield item
        yield from _walk(item)
