from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchclip_core.models.tokenizer import ClipTokenizer, WordTokenizer

VOCABULARY = WordTokenizer.vocabulary_of(["No pleural effusion.", "the lungs are clear"])


def pieces(tokenizer: WordTokenizer, sentence: str) -> list[str]:
    tokens = tokenizer([sentence])
    return [tokenizer.vocabulary[index] for index in tokens.ids[0, tokens.mask[0]].tolist()]


def test_known_words_are_one_token_and_others_are_spelt() -> None:
    tokenizer = WordTokenizer(VOCABULARY, 50)

    assert pieces(tokenizer, "NO effusion, or 5 cm") == ["no", "effusion", ",", "o", "##r", "5", "c", "##m"]


def test_a_character_that_cannot_be_spelt_is_a_question_mark() -> None:
    assert pieces(WordTokenizer(VOCABULARY, 50), "œdème") == ["?", "##d", "?", "##m", "##e"]


def test_long_sentences_are_cut_and_short_ones_padded() -> None:
    tokens = WordTokenizer(VOCABULARY, 4)(["the lungs are clear clear clear", "no", ""])

    assert tuple(tokens.ids.shape) == (3, 4)
    assert tokens.mask.sum(dim=1).tolist() == [4, 1, 1]
    assert not tokens.ids[1, 1:].any()


def test_a_vocabulary_comes_back_from_its_file(tmp_path: Path) -> None:
    WordTokenizer(VOCABULARY, 9).write(tmp_path / "vocabulary.json")

    assert WordTokenizer.read(tmp_path / "vocabulary.json", 9).vocabulary == tuple(VOCABULARY)


def test_the_vocabulary_does_not_depend_on_the_order_of_sentences() -> None:
    assert WordTokenizer.vocabulary_of(["b a bb aa", "cc"]) == WordTokenizer.vocabulary_of(["cc", "aa bb b a"])


def test_a_tokenizers_file_is_cut_and_padded_alike(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    vocabulary = {"[UNK]": 0, "no": 1, "effusion": 2}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    path.write_text(
        json.dumps(
            {"version": "1.0", "added_tokens": [], "model": model, "pre_tokenizer": {"type": "Whitespace"}}
            | dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        )
    )

    tokens = ClipTokenizer(path, 3)(["no effusion no no", "pneumonia"])

    assert tokens.ids.tolist() == [[1, 2, 1], [0, 0, 0]]
    assert tokens.mask.sum(dim=1).tolist() == [3, 1]


def test_a_file_that_is_no_vocabulary_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.json").write_text("{")

    with pytest.raises(ValueError, match="Expecting"):
        WordTokenizer.read(tmp_path / "vocabulary.json", 9)
