"""How long the fragments are that we send (PS3.8 D.1 and E.2)."""

from __future__ import annotations

from typing import Final

from pynetdicom.dimse import DIMSEServiceProvider

PDV_HEADER_BYTES: Final = 6
"""Length, presentation context id and message control header of one presentation data value (PS3.8 9.3.5.1)."""


def even_maximum(announced_bytes: int) -> int:
    """Return the Maximum Length to keep to, given what the peer announces, such that fragments have an even length.

    Data sets and command sets have an even length, and some peers count on it in each fragment. 0 is "no maximum"; less
    than the shortest even fragment with its header cannot be kept to.
    """
    if announced_bytes == 0:
        return 0
    return max(announced_bytes - announced_bytes % 2, PDV_HEADER_BYTES + 2)


class EvenFragments(DIMSEServiceProvider):
    """Sends fragments of an even length whatever Maximum Length the peer announces."""

    @property
    def maximum_pdu_size(self) -> int:
        """The Maximum Length that is kept to, in bytes; 0: none."""
        return even_maximum(super().maximum_pdu_size)
