"""Which of the offered transfer syntaxes a presentation context gets (PS3.8 annex B, PS3.5 10).

A peer that offers compressed and uncompressed syntaxes in one context can send in either, or holds its images in one of
them and can only say so by offering both. What it holds should arrive as it is: nothing is then decompressed, or
compressed with loss, for our sake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.uid import UID
from pynetdicom import evt

from patchclip_node.dicom.storage import LOSSY_SYNTAXES, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES

_LOSSLESS, _UNCOMPRESSED, _LOSSY = range(3)


def by_preference(offered: Iterable[Sequence[str]]) -> list[str]:
    """Return the node's transfer syntaxes in the order in which they are accepted of what a peer offers.

    offered: the syntaxes of each presentation context of one SOP Class, as the peer lists them. Compressed without loss
    comes first, then uncompressed, then compressed with loss; but with loss comes before uncompressed where the peer
    itself lists it before. Among equals the peer's order counts.
    """
    listed = [uid for context in offered for uid in context if uid in TRANSFER_SYNTAXES]
    seen = list(dict.fromkeys(listed))
    first_uncompressed = next((place for place, uid in enumerate(seen) if not UID(uid).is_compressed), len(seen))

    def rank(uid: str) -> tuple[int, int]:
        place = seen.index(uid)
        if uid in LOSSY_SYNTAXES:
            return (_LOSSY if place > first_uncompressed else _UNCOMPRESSED), place
        return (_LOSSLESS if UID(uid).is_compressed else _UNCOMPRESSED), place

    return [*sorted(seen, key=rank), *(uid for uid in TRANSFER_SYNTAXES if uid not in seen)]


def prefer_what_the_peer_holds(event: evt.Event) -> None:
    """Order the syntaxes that this association accepts; EVT_REQUESTED comes before pynetdicom negotiates.

    Of each context pynetdicom accepts the first syntax of ours that the peer offers, in our order.
    """
    asked = event.assoc.requestor.requested_contexts
    for context in event.assoc.acceptor.supported_contexts:
        if context.abstract_syntax in STORAGE_SOP_CLASSES:
            offered = [one.transfer_syntax for one in asked if one.abstract_syntax == context.abstract_syntax]
            ordered = by_preference([[str(uid) for uid in each] for each in offered])
            theirs = {uid for each in offered for uid in each}
            context.transfer_syntax = [UID(uid) for uid in ordered if uid in theirs]  # each one set is checked: slow
