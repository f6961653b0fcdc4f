"""What `doctor` says of certificates: whose they are, who vouches for them, and how long they are good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.transport_security import PeerCertificate
from patchclip_node.settings import NodeSettings

EXPIRES_SOON: Final = timedelta(days=30)
"""A certificate that is good for less time is warned of."""


def tls(settings: NodeSettings) -> Iterator[CheckResult]:
    """The node's own certificate would be taken, its key fits, and callers are told apart."""
    from patchclip_node.dicom.tls import own_certificate

    if settings.tls is None:
        advice = "set `tls`, see docs/security.md; until then keep the node on a separate network"
        yield CheckResult("TLS", Status.OK, "the receiver speaks plain DICOM: whoever reaches it reads along", advice)
        return
    try:
        yield judged("TLS", own_certificate(settings.tls.credentials))
    except ConfigurationError as error:
        advice = "name the files under `tls`, or renew the certificate: new files count without a restart"
        yield CheckResult("TLS", Status.FAIL, str(error), advice)
        return
    if not any(one.certificate for one in settings.known_callers):
        detail = "whoever has a certificate of the authority may call itself by any AE title"
        advice = "name each caller and its certificate under known_callers"
        yield CheckResult("TLS callers", Status.WARN, detail, advice)
    if settings.tls.crl is None:
        detail = "no revocation list is read: a certificate that was taken back is good until it expires"
        yield CheckResult("TLS revocation", Status.WARN, detail, "name the authority's CRL under tls.crl")


def judged(name: str, certificate: PeerCertificate) -> CheckResult:
    """Return what is to be said of a certificate that is good now, and of those above it."""
    now = datetime.now(UTC)
    left = certificate.expires_at - now
    detail = (
        f"{certificate.subject}, issued by {certificate.issuer}, good until {certificate.expires_at:%Y-%m-%d} "
        f"({left.days} days), sha256 {certificate.fingerprint}"
    )
    if certificate.chain:
        above = (f"{one.subject} until {one.expires_at:%Y-%m-%d}" for one in certificate.chain)
        detail += f"; its chain: {', '.join(above)}"
    ends_first = min((one.expires_at for one in certificate.chain), default=certificate.expires_at)
    if left < EXPIRES_SOON:
        return CheckResult(name, Status.WARN, detail, "renew it: new files count without a restart")
    if ends_first - now < EXPIRES_SOON:
        advice = "an authority of the chain ends: have it renewed, then the certificates that it issued"
        return CheckResult(name, Status.WARN, detail, advice)
    return CheckResult(name, Status.OK, detail)
