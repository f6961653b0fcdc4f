"""Associations that the node asks for: how they come about, and why one did not, for an administrator to act on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.sockets import PromptSocket
from patchclip_node.domain.errors import PeerError
from patchclip_node.ports.result_sender import Destination
from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scu.security import HandshakeError, presented, secured

MAX_PDU_BYTES: Final = 131_072
"""Maximum Length of what we receive; responses are far shorter."""

Handler = tuple[evt.EventType, Callable[..., Any]]


class NoContextError(PeerError):
    """The peer accepted the association and no presentation context in it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a peer may take.

    connect_s: to take the connection. acse_s: to answer the association request. response_s: to store an object and
    answer. report_s: how long the association on which a destination was asked for its commitment stays open for its
    answer; later ones come over another association.
    """

    connect_s: float = 10.0
    acse_s: float = 30.0
    response_s: float = 120.0
    report_s: float = 5.0


USUAL: Final = Timeouts()


class Associations:
    """Asks peers for associations, under one AE title and with the same patience."""

    def __init__(self, ae_title: str, timeouts: Timeouts = USUAL) -> None:
        """`ae_title` is what we call ourselves; peers may know us by it."""
        self._ae_title = ae_title
        self._timeouts = timeouts

    def open(
        self,
        destination: Destination,
        contexts: list[PresentationContext],
        handlers: Sequence[Handler] = (),
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    ) -> Association:
        """Return an association over which something is accepted; `end` it in any case.

        Raises `PeerError` when none came about, and its `NoContextError` where the peer took none of the `contexts`.
        """
        ae = _AskingEntity(self._ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = self._timeouts.connect_s
        ae.acse_timeout = self._timeouts.acse_s
        ae.dimse_timeout = self._timeouts.response_s
        ae.network_timeout = self._timeouts.response_s
        tls = None if destination.security is None else secured(destination.security, destination.host)
        try:
            association = ae.associate(
                destination.host,
                destination.port,
                contexts=contexts,
                ae_title=destination.ae_title,
                max_pdu=MAX_PDU_BYTES,
                ext_neg=list(roles),
                tls_args=tls,
                evt_handlers=[(evt.EVT_CONN_CLOSE, _end_of_waiting), *handlers],
            )
        except socket.gaierror as error:
            raise PeerError(
                f"the host name {destination.host!r} of destination {destination.name} can't be resolved: "
                f"{error.strerror}. Check the name, or write the address"
            ) from error
        if association.is_established:
            association.dimse = Answers(association)
            return association
        try:
            raise self._why_no_association(destination, association)
        finally:
            end(association)

    def _why_no_association(self, destination: Destination, association: Association) -> PeerError:
        place = where(destination)
        answered = association.acceptor.primitive
        if association.is_rejected and answered is not None:
            hints: dict[tuple[int | None, int | None], str] = {
                (1, 3): f"it does not know our AE title {self._ae_title!r}: register it there",
                (1, 7): f"it does not answer to the AE title {destination.ae_title!r}: correct ae_title here",
            }  # (source, reason) of A-ASSOCIATE-RJ, PS3.8 table 9-21
            hint = hints.get((answered.result_source, answered.diagnostic), f"reason: {answered.reason_str}")
            return PeerError(f"{place} rejected the association ({answered.result_str}); {hint}")
        if answered is not None:
            return NoContextError(
                f"{place} accepted the association but none of the objects' SOP classes: enable their storage there"
            )
        return self._why_no_answer_to_the_request(destination)

    def _why_no_answer_to_the_request(self, destination: Destination) -> PeerError:
        place = where(destination)
        try:
            presented(destination, self._timeouts.connect_s)
        except HandshakeError as error:
            return PeerError(f"{place} {error}")
        except ConnectionRefusedError:
            return PeerError(f"{place} refused the connection: nothing listens there, or a firewall says no")
        except TimeoutError:
            patience_s = self._timeouts.connect_s
            return PeerError(f"{place} did not answer within {patience_s:g} s: check host, port and firewall")
        except OSError as error:
            return PeerError(f"{place} can't be reached: {error.strerror or error}")
        silent = "takes connections but did not answer our association request: is this the DICOM port?"
        return PeerError(f"{place} {silent}")


class _AskingEntity(AE):
    """Its sockets wait for a peer that reads nothing no longer than for one that answers nothing."""

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[SSLContext, str] | None
    ) -> AssociationSocket:
        created = PromptSocket(assoc, address=address)
        created.tls_args = tls_args
        if created.socket is not None and self.network_timeout is not None:
            limit = struct.pack("ll", int(self.network_timeout), int(self.network_timeout % 1 * 1_000_000))
            created.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return created


def _end_of_waiting(event: evt.Event) -> None:
    """Tell whoever waits for a response that none will come: pynetdicom lets it wait for the whole time-out."""
    event.assoc.dimse.msg_queue.put((None, None))


def end(association: Association) -> None:
    """Release it where it stands, and let go of the connection in any case."""
    if association.is_established:
        association.release()
    transport = association.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.close()  # pynetdicom leaves it open after a rejection or an abort


def where(destination: Destination) -> str:
    """Say which peer it is, for the beginning of a sentence about it."""
    return f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
