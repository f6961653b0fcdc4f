"""How the node reaches its own receiver, as `doctor` and the canary do."""

from __future__ import annotations

from patchclip_node.dicom.tls import own_certificate
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity
from patchclip_node.ports.result_sender import Destination
from patchclip_node.settings import NodeSettings


def reachable(host: str) -> str:
    """Return where a program on this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def security_to_itself(settings: NodeSettings) -> PeerSecurity | None:
    """Return how the node reaches its own receiver; None for plain DICOM. Raises `ConfigurationError`."""
    if settings.tls is None:
        return None
    credentials = settings.tls.credentials
    return PeerSecurity(credentials, CertificateMark(own_certificate(credentials).fingerprint))


def ourselves(settings: NodeSettings, host: str | None = None) -> Destination:
    """Return how the node's own receiver is reached; host: None: from this machine. Raises `ConfigurationError`."""
    security = security_to_itself(settings)
    return Destination(
        "this node", settings.ae_title, host or reachable(settings.host), settings.port, security=security
    )


__all__ = ["ourselves", "reachable", "security_to_itself"]
