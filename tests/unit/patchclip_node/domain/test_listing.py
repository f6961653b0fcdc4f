"""Names are found however they are written, and a search never asks more of an index than it takes."""

from __future__ import annotations

import unicodedata

import pytest

from patchclip_node.domain.listing import MOST_WORDS, folded, search_words, searched


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("muller", "Müller^Hans"),
        ("MUELLER hans", "Müller^Hans"),
        ("müll", "MULLER^HANS"),
        ("müller", unicodedata.normalize("NFD", "Müller^Hans")),
        ("hans mül", "Müller^Hans^^Dr."),
        ("soren", "Ångström^Søren"),
        ("aangstroem", "Ångström^Søren"),
        ("lukasz", "Łuczak^Łukasz"),
        ("strasse", "Straße^A"),
        ("иван", "Иванов^Пётр"),
        ("петр", "Иванов^Пётр"),
        ("νικος", "Παπαδόπουλος^Νίκος"),
        ("tarou", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("김희", "Hong^Gildong=洪^吉洞=김희^중"),
        ("محمد", "مُحَمَّد^علي"),
        ("\uff41\uff4e\uff4e", "Ann^B"),
        ("istanbul", "İstanbul^X"),
    ],
)
def test_a_name_is_found_whatever_its_case_accents_alphabet_and_order(typed: str, name: str) -> None:
    text = searched(name, "1", "2")["search_text"]

    assert all(word in text for word in search_words(typed))


def test_a_search_text_begins_with_the_name_and_keeps_what_is_searched_apart() -> None:
    found = searched("Doe^Jane", "PAT 1", "ACC-7")

    assert found == {"search_text": "doe jane\npat 1\nacc-7", "sort_id": "pat 1", "sort_accession": "acc-7"}


def test_what_a_peer_sends_is_searched_in_part_where_it_is_endless() -> None:
    found = searched("€" * 10_000 + "ä", "€" * 10_000, "€" * 10_000)

    assert sum(len(value.encode()) for value in found.values()) < 2 * 2_000
    assert len((found["sort_id"] + found["search_text"]).encode()) < 2_704


def test_a_search_has_few_words_each_once() -> None:
    assert search_words("Doe  doe ^DOE") == ("doe",)
    assert len(search_words(" ".join(map(str, range(100))))) == MOST_WORDS
    assert folded("  ") == ""
