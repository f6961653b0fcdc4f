from __future__ import annotations

import pytest

from patchclip_node.dicom.fragments import PDV_HEADER_BYTES, even_maximum


@pytest.mark.parametrize("announced", [*range(8, 300), 16382, 16383, 65535, 131072, 2**32 - 1])
def test_the_longest_even_fragment_within_what_is_announced(announced: int) -> None:
    kept = even_maximum(announced)

    assert announced - 1 <= kept <= announced
    assert (kept - PDV_HEADER_BYTES) % 2 == 0
    assert kept > PDV_HEADER_BYTES


def test_no_maximum_stays_none() -> None:
    assert even_maximum(0) == 0


@pytest.mark.parametrize("announced", range(1, 8))
def test_where_no_even_fragment_fits_the_shortest_is_sent(announced: int) -> None:
    assert even_maximum(announced) == PDV_HEADER_BYTES + 2
