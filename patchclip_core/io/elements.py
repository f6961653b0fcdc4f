"""Reading foreign elements tolerantly: what cannot be decoded is left out by its tag, what is there is read as text.

Whoever reads a header goes through here: receiver, selection, display and results of the node, and the trainer.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

_warnings_lock = threading.Lock()
_pydicom_logger = logging.getLogger("pydicom")


def read_elements(path: Path, keywords: Sequence[str] | None = None) -> tuple[Dataset, tuple[str, ...]]:
    """Read everything of a DICOM file but pixel data and private elements, decoded.

    keywords: read these elements alone; None reads all. A file without preamble or File Meta Information is read as
    well. Returns the data set and the tags of the elements that could not be decoded and are left out, those of items
    after their sequence's: '(0040,0275) (0040,0007)'. Raises `OSError`, and what pydicom raises where a file is not
    DICOM or is cut off, which can be almost anything.
    """
    with tolerant_reading():
        dataset = dcmread(
            path, force=True, stop_before_pixels=True, specific_tags=None if keywords is None else list(keywords)
        )
        return dataset, tuple(_decode(dataset))


def text(dataset: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text without padding; several values joined by a backslash; absent is ''."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    values = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return "\\".join(str(item).strip(" \0") for item in values)


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is absent or empty."""
    return dataset.get(keyword) or ()


def in_brackets(tag: int) -> str:
    """Write a tag as the standard does: (0008,0018)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@contextmanager
def tolerant_reading() -> Iterator[None]:
    """Keep pydicom's remarks on foreign data out of the log: that data is as it is.

    Python's warning filters and pydicom's logger belong to the process, hence the lock.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, _pydicom_logger.disabled = _pydicom_logger.disabled, True
        try:
            yield
        finally:
            _pydicom_logger.disabled = before


def _decode(dataset: Dataset, within: str = "") -> Iterator[str]:
    """Turn every raw element into its value now, under `tolerant_reading`; drop private and undecodable ones."""
    for tag in list(dataset.keys()):
        if tag.is_private:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001 - what pydicom raises depends on the VR
            del dataset[tag]
            yield f"{within}{in_brackets(tag)}"
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _decode(item, f"{within}{in_brackets(tag)} ")
