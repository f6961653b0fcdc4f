"""Whether a session's person is still welcome: local accounts by the settings, others by the word of their provider."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from patchclip_node.domain.accounts import Role, Session, SessionPolicy, Voucher
from patchclip_node.domain.errors import LoginRefusedError, ProviderUnavailableError
from patchclip_node.domain.identity import Vouched
from patchclip_node.ports.accounts import Sessions
from patchclip_node.ports.identity_provider import IdentityProvider
from patchclip_node.services.session_secrets import disclosed, enclosed

log = structlog.get_logger(__name__)

ASK_AGAIN_AFTER_S: Final = 15.0
"""A provider that did not answer is asked again after this long, and by one request at a time."""


class Vouching:
    """Asks a provider, every `check_every_s`, whether it still vouches for who is logged in.

    A provider that gives no answer is believed for as long again; then its sessions end.
    """

    def __init__(self, sessions: Sessions, policy: SessionPolicy, provider: IdentityProvider | None) -> None:
        self._sessions = sessions
        self._policy = policy
        self._provider = provider

    def confirmed(self, session: Session, token: str, now: datetime) -> Session:
        """Return the session as its person is seen now. Raises `LoginRefusedError` where it has to end."""
        if session.voucher is None:
            if self._policy.local_accounts or session.person.role is Role.SEALED:
                return session
            raise LoginRefusedError("local accounts are switched off")
        if self._provider is None or self._provider.issuer != session.person.issuer:
            raise LoginRefusedError("the node has another provider, or none")
        if (now - session.voucher.checked_at).total_seconds() < self._policy.check_every_s:
            return session
        return self._asked(self._provider, session, session.voucher, token, now)

    def _asked(
        self, provider: IdentityProvider, session: Session, voucher: Voucher, token: str, now: datetime
    ) -> Session:
        refresh_token, id_token = disclosed(token, voucher.secrets)
        if refresh_token is None:
            raise LoginRefusedError("the provider gave nothing to ask it by again")
        is_asked = (now - voucher.asked_at).total_seconds() < ASK_AGAIN_AFTER_S
        if is_asked or not self._sessions.ask(session.key, voucher.asked_at, now):
            return session  # another request of this browser waits for the answer, or has just got none
        try:
            vouched = provider.renewed(Vouched(session.person, refresh_token, id_token))
        except ProviderUnavailableError as error:
            log.warning("provider_unavailable", error=str(error))
            if (now - voucher.checked_at).total_seconds() < 2 * self._policy.check_every_s:
                return session
            raise LoginRefusedError("the provider has not answered for too long") from error
        kept = enclosed(token, vouched.refresh_token, vouched.id_token)
        self._sessions.vouched(session.key, vouched.person, kept, now)
        return replace(session, person=vouched.person, voucher=Voucher(now, now, kept))


__all__ = ["ASK_AGAIN_AFTER_S", "Vouching"]
