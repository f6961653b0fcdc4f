"""Sentences to numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from patchclip_core.models.towers import Tokens

TOKENIZER_FILE = "tokenizer.json"
"""Of a `tokenizers` tokenizer, in a checkpoint."""

_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:()/%+-'"


class WordTokenizer:
    """The compact text tower's own tokenizer: known words are one token, any other word is spelt.

    Its vocabulary is a list in a JSON file; entry 0 pads, entry 1 stands for a character that cannot be spelt, "##x" is
    the letter x within a word.
    """

    def __init__(self, vocabulary: Sequence[str], length: int) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {piece: index for index, piece in enumerate(self.vocabulary)}
        self._length = length

    @staticmethod
    def vocabulary_of(sentences: Iterable[str]) -> list[str]:
        """Return the vocabulary for these sentences: all characters, and their words in alphabetical order."""
        words = {word for sentence in sentences for word in _PIECES.findall(sentence.lower()) if len(word) > 1}
        spelling = [*_CHARACTERS, *(f"##{letter}" for letter in _CHARACTERS)]
        return ["", "?", *spelling, *sorted(words)]

    @staticmethod
    def read(path: Path, length: int) -> WordTokenizer:
        """Read a vocabulary file."""
        return WordTokenizer(json.loads(path.read_text(encoding="utf-8")), length)

    @property
    def content(self) -> str:
        """What the vocabulary file holds: the same for the same vocabulary."""
        return json.dumps(self.vocabulary, ensure_ascii=False, indent=0) + "\n"

    def write(self, path: Path) -> None:
        """Write the vocabulary file."""
        path.write_text(self.content, encoding="utf-8")

    def __call__(self, sentences: Sequence[str]) -> Tokens:
        """Tokenize, cut, and pad to the longest."""
        return _padded([[number for number, _ in self._encode(sentence)] for sentence in sentences])

    def spans(self, sentence: str) -> list[tuple[int, int]]:
        """Where each token stands in the sentence: first character and the one after the last."""
        return [span for _, span in self._encode(sentence)]

    def _encode(self, sentence: str) -> list[tuple[int, tuple[int, int]]]:
        """Ids and spans, cut to the tower's length."""
        encoded: list[tuple[int, tuple[int, int]]] = []
        for found in _PIECES.finditer(sentence.lower()):
            piece, start = found.group(), found.start()
            if piece in self._ids:
                encoded.append((self._ids[piece], found.span()))
                continue
            for offset, letter in enumerate(piece, start):
                entry = letter if offset == start else f"##{letter}"
                encoded.append((self._ids.get(entry, 1), (offset, offset + 1)))
        return encoded[: self._length]


class ClipTokenizer:
    """A `tokenizers` file, as CLIP's come with one."""

    def __init__(self, path: Path, length: int) -> None:
        import tokenizers  # noqa: PLC0415 - a model that is asked no sentence does without

        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.enable_truncation(length)
        self._tokenizer.no_padding()

    def __call__(self, sentences: Sequence[str]) -> Tokens:
        """Tokenize, cut, and pad to the longest."""
        return _padded([encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))])

    def spans(self, sentence: str) -> list[tuple[int, int]]:
        """Where each token stands in the sentence: first character and the one after the last; (0, 0) for a marker."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(sentence).offsets
        return offsets


def stand_in_tokenizer(sentences: Iterable[str], vocabulary: int) -> str:
    """Return the content of a `tokenizers` file that knows these sentences' words: one token each, between two markers.

    It stands in for an encoder's own where only shapes matter. vocabulary: entries that the encoder knows; its last two
    are the markers, the end being the last as in CLIP's, and the one before stands for any other word.
    """
    import tokenizers  # noqa: PLC0415 - as above

    words = sorted({word for sentence in sentences for word in _PIECES.findall(sentence.lower())})
    begin, end, other = vocabulary - 2, vocabulary - 1, vocabulary - 3
    ids = dict(zip(words, range(other), strict=False)) | {"<begin>": begin, "<end>": end, "<other>": other}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<other>"))  # noqa: S106 - a word, not a secret
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", begin), ("<end>", end)]
    )
    return str(made.to_str())


def _padded(sequences: Sequence[Sequence[int]]) -> Tokens:
    length = max((len(ids) for ids in sequences), default=0) or 1
    ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    mask = torch.zeros(len(sequences), length, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, : len(sequence)] = True
        # An empty sentence still needs a place to attend to.
        mask[row, 0] = True
    return Tokens(ids, mask)
