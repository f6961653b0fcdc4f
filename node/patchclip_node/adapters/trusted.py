"""TLS to servers other than DICOM peers: whose certificates are taken."""

from __future__ import annotations

import ssl
from pathlib import Path

from patchclip_node.domain.errors import ConfigurationError


def trusting(ca: Path | None, setting: str) -> ssl.SSLContext:
    """Return a context that checks names and certificates by these authorities, in PEM; None: by the system's.

    Raises `ConfigurationError`, which names the setting.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise ConfigurationError(
            f"{setting}: {ca} cannot be read as certificates in PEM: {error.strerror or error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


__all__ = ["trusting"]
