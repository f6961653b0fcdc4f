"""docs/tests.md: its folders and peers are those of the tests, and each peer is used where the page says."""

from __future__ import annotations

import pytest

from tests.conftest import PEERS
from tests.support.docs import ROOT, in_code, page, table

PAGE = page("docs/tests.md")
PEER_ROWS = {in_code(row[0])[0]: in_code(row[2]) for row in table(PAGE, "peer")}


def test_every_folder_with_tests_is_in_one_row() -> None:
    listed = [in_code(row[0])[0] for row in table(PAGE, "folder")]
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("*/**/test_*.py")]

    rows_of = {file: [folder for folder in listed if file.startswith(f"{folder}/")] for file in files}

    assert {file: rows for file, rows in rows_of.items() if len(rows) != 1} == {}
    assert [folder for folder in listed if not (ROOT / folder).is_dir()] == []


def test_the_table_has_each_peer_and_no_other() -> None:
    assert sorted(PEER_ROWS) == sorted(PEERS)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_is_used_where_the_page_says(peer: str) -> None:
    assert [file for file in PEER_ROWS[peer] if f'"{peer}"' not in page(file)] == []
    assert PEER_ROWS[peer]
