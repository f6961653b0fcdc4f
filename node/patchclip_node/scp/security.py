"""Whom the receiver listens to at all, and whose certificate a caller has to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from ssl import SSLContext
from typing import Final

from patchclip_node.dicom.tls import ReloadedServerContext
from patchclip_node.domain.transport_security import CertificateMark, PeerCertificate, TlsCredentials
from patchclip_node.scp.places import Caller


@dataclass(frozen=True, slots=True)
class AllowedNetworks:
    """Addresses that are listened to; none named: all."""

    networks: Sequence[IPv4Network | IPv6Network] = ()

    def __contains__(self, address: str) -> bool:
        """Tell whether an address of a socket is one of them; an IPv4 address that an IPv6 socket has is itself."""
        if not self.networks:
            return True
        found = ip_address(address.partition("%")[0])
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


EVERYBODY: Final = AllowedNetworks()


class CallerSecurity:
    """TLS of the receiver. Its context follows its files."""

    def __init__(self, credentials: TlsCredentials, certificates: Iterable[tuple[Caller, CertificateMark]]) -> None:
        """`certificates`: of known callers, one or several each; where none is named, each valid one will do.

        Raises `ConfigurationError` where the files cannot be used.
        """
        self._context = ReloadedServerContext(credentials)
        self._certificates = tuple(certificates)

    @property
    def context(self) -> SSLContext:
        """For the next connection."""
        return self._context.current()

    def admits(self, caller: Caller, certificate: PeerCertificate) -> bool:
        """Tell whether a caller, by AE title and address, may show this certificate."""
        return not self._certificates or any(
            caller == one and mark.is_of(certificate) for one, mark in self._certificates
        )
