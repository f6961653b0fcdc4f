"""Pages that ask for no login are for this machine alone."""

from __future__ import annotations

import structlog

from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.ports.accounts import Accounts
from patchclip_node.settings import NodeSettings

log = structlog.get_logger(__name__)


def refuse_open_pages(settings: NodeSettings, accounts: Accounts) -> None:
    """Raise `ConfigurationError` where others could reach pages that ask for no login; log it where they cannot."""
    if settings.web.openid is not None or accounts.any():
        return
    if not settings.web.is_local:
        raise ConfigurationError(
            f"web.host: {settings.web.host} is reached from other machines, and the pages ask for no login yet: make "
            "an account with `patchclip-node users add NAME --role administrator`, or keep web.host on 127.0.0.1"
        )
    log.warning("pages_without_login", why="there is no account; whoever is on this machine sees the pages")


def refuse_open_secret(settings: NodeSettings) -> None:
    """Raise `ConfigurationError` where the secret of the pages' OpenID client cannot be read, or others can read it."""
    openid = settings.web.openid
    if openid is not None and openid.client_secret_file is not None:
        read_secret(openid.client_secret_file, "web.openid.client_secret_file")
