from __future__ import annotations

import pytest

from patchclip_node.dicom.storage import LOSSY_SYNTAXES, TRANSFER_SYNTAXES
from patchclip_node.scp.syntaxes import by_preference

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BASELINE, SV1, JPEG_LS, NEAR, J2K, HTJ2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
)


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        ([EXPLICIT], EXPLICIT),
        ([IMPLICIT, EXPLICIT], IMPLICIT),
        ([EXPLICIT, IMPLICIT], EXPLICIT),
        ([SV1, EXPLICIT, IMPLICIT], SV1),
        ([EXPLICIT, IMPLICIT, SV1], SV1),
        ([IMPLICIT, RLE], RLE),
        ([EXPLICIT, JPEG_LS, J2K], JPEG_LS),
        ([EXPLICIT, J2K, JPEG_LS], J2K),
        ([HTJ2K, EXPLICIT], HTJ2K),
        ([BASELINE, EXPLICIT, IMPLICIT], BASELINE),
        ([EXPLICIT, BASELINE], EXPLICIT),
        ([EXPLICIT, NEAR, SV1], SV1),
        ([BASELINE, SV1, EXPLICIT], SV1),
        ([BASELINE], BASELINE),
        (["1.2.840.10008.1.2.2", "1.2.3", EXPLICIT], EXPLICIT),
    ],
)
def test_of_several_syntaxes_the_one_that_the_peer_may_hold_is_accepted(offered: list[str], accepted: str) -> None:
    assert next(uid for uid in by_preference([offered]) if uid in offered) == accepted


@pytest.mark.parametrize("offered", [[], [[]], [["1.2.3"]], [[SV1, EXPLICIT], [IMPLICIT]]])
def test_every_syntax_of_the_node_stays_acceptable_whatever_is_offered(offered: list[list[str]]) -> None:
    assert sorted(by_preference(offered)) == sorted(TRANSFER_SYNTAXES)


def test_lossy_syntaxes_are_syntaxes_of_the_node() -> None:
    assert set(TRANSFER_SYNTAXES) > LOSSY_SYNTAXES
