"""Who takes what a peer answers on an association that we asked for."""

from __future__ import annotations

from typing import Any

from patchclip_node.dicom.fragments import EvenFragments


class Answers(EvenFragments):
    """Leaves each answer to whoever waits for it.

    pynetdicom's own thread of an association takes messages as well, without waiting for any, to serve a peer's
    requests. It is to pause while an answer is awaited, but where it lost the processor at the wrong moment (3.0.4: in
    `Association._run_reactor`, between finding out that it need not pause and saying that it does not), it takes the
    answer and drops it. The sender then waits for its whole time-out. On an association that we asked for the peer has
    only answers to give (PS3.7 D.3.3.4: without role selection it is the SCP), so that thread gets nothing, until we
    have no more questions and `peer_may_ask`: storage commitment is reported so (PS3.4 J.3.3).
    """

    peer_may_ask = False

    def get_msg(self, block: bool = False) -> Any:
        """Return the next answer; nothing to who does not wait for one, unless the peer may ask."""
        return super().get_msg(block=block) if block or self.peer_may_ask else (None, None)
