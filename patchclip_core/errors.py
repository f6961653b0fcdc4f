"""The errors of the core. Each one's text names what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PatchClipError(Exception):
    """Base of every error that the core raises on purpose."""


class UnreadableImageError(PatchClipError):
    """The file is not an image that can be decoded: neither DICOM, PNG nor JPEG, damaged, or without pixels."""


class UnsuitableImageError(PatchClipError):
    """The file can be read, but this image is not one to analyse: colour, too small, too large, several frames."""


class CheckpointError(PatchClipError):
    """A checkpoint is missing, damaged or foreign."""


class DecoderTimeoutError(PatchClipError):
    """Decoding took longer than allowed and its process was killed."""


class FindingsFileError(PatchClipError):
    """The findings file has an error; the text names the key."""


class KeptFindingsError(PatchClipError):
    """What was kept of an image's findings cannot be read."""


class WordingFileError(PatchClipError):
    """A table of sentences in another language has an error; the text names the file and the sentence."""


class VocabularyFileError(PatchClipError):
    """A vocabulary of what headers say has an error; the text names the file and the entry."""


class ChestCheckFileError(PatchClipError):
    """The weights of the pixel check have an error; the text names the file and the key."""


class FindingNamesFileError(PatchClipError):
    """The names that sources have for findings have an error; the text names the file and the entry."""


class ReportHeadingsFileError(PatchClipError):
    """The headings of reports have an error; the text names the file and the entry."""


class ReportLanguageError(PatchClipError):
    """A report is in a language that the rules do not know."""


class UnknownFindingError(PatchClipError, KeyError):
    """There is no finding by this name here; the text has the nearest one, and all."""

    def __str__(self) -> str:
        return str(self.args[0])


def not_known(name: str, known: Iterable[str]) -> str:
    """Return, of a name that is not known, the one that may be meant and what is known: the end of an error's text."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return (f"'{near[0]}' may be meant; " if near else "") + f"known: {', '.join(names)}"
