"""Who is not of an allowed network is not listened to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation

from patchclip_node.scp.security import AllowedNetworks
from patchclip_node.scp.storage_scp import StorageScp
from tests.support.scp import associate_request, received_pdu, received_until_end


@pytest.mark.parametrize(
    ("networks", "address", "is_allowed"),
    [
        ([], "203.0.113.9", True),
        (["192.0.2.0/24"], "192.0.2.77", True),
        (["192.0.2.0/24"], "192.0.3.1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.77", True),
        (["192.0.2.0/24"], "2001:db8::1", False),
        (["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["192.0.2.7"], "192.0.2.7", True),
    ],
)
def test_an_address_is_of_a_network_or_not(networks: list[str], address: str, is_allowed: bool) -> None:
    assert (address in AllowedNetworks([ip_network(one) for one in networks])) is is_allowed


def test_a_connection_from_elsewhere_is_closed_unread_and_counted(start: Callable[..., StorageScp]) -> None:
    scp = start(networks=AllowedNetworks([ip_network("192.0.2.0/24")]))

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        assert received_until_end(peer) == b""

    reception = scp.reception(datetime.now(UTC))
    assert reception.troubles == {"address_not_allowed": 1}
    assert "address_not_allowed 1" in reception.in_words


def test_a_connection_from_an_allowed_network_is_answered(start: Callable[..., StorageScp]) -> None:
    scp = start(networks=AllowedNetworks([ip_network("127.0.0.0/8")]))

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(associate_request(DigitalXRayImageStorageForPresentation))
        assert received_pdu(peer)[0] == 0x02
