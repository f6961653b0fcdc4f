"""The instances in an answer of a DICOMweb server, one after another while it arrives (PS3.18 8.6.1.2, RFC 2046)."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

DICOM_FILE = "application/dicom"


class Arriving(Protocol):
    """A file that arrives."""

    def write(self, data: memoryview, /) -> int:
        """Take the next piece of it."""
        ...

    def discard(self) -> None:
        """Delete it, unless it was kept."""
        ...


class Keeper(Protocol):
    """Keeps files of an archive as the receiver does."""

    def begin(self) -> Arriving:
        """Return a new file."""
        ...

    def end(self, file: Arriving) -> str:
        """Keep it, whole; returns why not, '' where it is durable."""
        ...


class AnswerError(Exception):
    """The answer is not what was asked for, or ended in the middle."""


def kept_parts(content_type: str, pieces: Iterable[bytes], keeper: Keeper) -> tuple[int, list[str]]:
    """Keep each instance of an answer; return how many were kept, and why others were not.

    pieces: of its body, as they come. What came whole before an answer breaks off is kept. Raises `AnswerError`.
    """
    media = Message()
    media["Content-Type"] = content_type
    if media.get_content_type() == DICOM_FILE:
        return _one_part(pieces, keeper)
    boundary = media.get_param("boundary")
    if media.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise AnswerError(f"it answers with {content_type[:100] or 'no media type'} instead of DICOM files")
    parts = _Parts(keeper)
    parser = MultipartParser(boundary.encode(), parts.callbacks())  # type: ignore[arg-type]  # its type wants all of them
    try:
        for piece in pieces:
            parser.write(piece)
        if not parts.are_over:
            raise AnswerError("its answer ends in the middle")
    except MultipartParseError as error:
        raise AnswerError(f"its answer is not multipart/related: {error}") from error
    finally:
        parts.discard()
    return parts.kept, parts.refused


def _one_part(pieces: Iterable[bytes], keeper: Keeper) -> tuple[int, list[str]]:
    file = keeper.begin()
    try:
        for piece in pieces:
            file.write(memoryview(piece))
        refused = keeper.end(file)
    finally:
        file.discard()
    return (0, [refused]) if refused else (1, [])


class _Parts:
    """What a parser tells of an answer's parts becomes files. A part has a file from its first byte to its last."""

    def __init__(self, keeper: Keeper) -> None:
        self.kept = 0
        self.refused: list[str] = []
        self.are_over = False
        self._keeper = keeper
        self._file: Arriving | None = None

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._take(memoryview(data)[start:end]),
            "on_part_end": self._end,
            "on_end": self._over,
        }

    def discard(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.discard()

    def _begin(self) -> None:
        self._file = self._keeper.begin()

    def _take(self, data: memoryview) -> None:
        assert self._file is not None
        self._file.write(data)

    def _end(self) -> None:
        assert self._file is not None
        refused = self._keeper.end(self._file)
        self.discard()
        if refused:
            self.refused.append(refused)
        else:
            self.kept += 1

    def _over(self) -> None:
        self.are_over = True
