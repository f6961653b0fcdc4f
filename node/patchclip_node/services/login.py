"""Logging in to the pages: sessions with an end, and guesses that are slowed down."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.domain.accounts import Session, SessionPolicy
from patchclip_node.domain.errors import LoginRefusedError
from patchclip_node.ports.accounts import Accounts
from patchclip_node.ports.clock import Clock
from patchclip_node.services import passwords

log = structlog.get_logger(__name__)

FREE_GUESSES: Final = 5
"""Wrong passwords of one account or one address that cost no wait."""
FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 300.0
REMEMBERED: Final = 10_000
"""Accounts and addresses whose wrong guesses are remembered; the oldest are forgotten first."""
SEEN_EVERY_S: Final = 30.0
"""How exactly the ledger knows when a session was last used: a page need not wait for a writer each time."""

_UNKNOWN: Final = passwords.hashed(secrets.token_hex())
"""What the password of an unknown name is compared with, so that it takes as long as that of a known one."""


class Throttle:
    """Wrong guesses, by account and by address; the wait doubles from the sixth on, up to five minutes."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str, now: datetime) -> float:
        """Return how long the next guess has to wait, in seconds."""
        with self._lock:
            count, last = self._failures.get(key, (0, now))
        if count < FREE_GUESSES:
            return 0.0
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(count - FREE_GUESSES, 16), LONGEST_WAIT_S)
        return max(0.0, wait_s - (now - last).total_seconds())

    def failed(self, key: str, now: datetime) -> None:
        """Count a wrong guess."""
        with self._lock:
            count, _ = self._failures.pop(key, (0, now))
            self._failures[key] = (count + 1, now)
            if len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        """Count from the beginning again."""
        with self._lock:
            self._failures.pop(key, None)


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has just begun. `token`: 256 random bits for the browser alone."""

    token: str
    session: Session


class LoginDesk:
    """Starts sessions, finds them again and ends them. Without any account the pages are open, and it says so."""

    def __init__(self, accounts: Accounts, clock: Clock, policy: SessionPolicy) -> None:
        self._accounts = accounts
        self._clock = clock
        self._policy = policy
        self._throttle = Throttle()

    @property
    def is_open(self) -> bool:
        """Whether there is no account yet; one that is disabled counts."""
        return not self._accounts.any()

    def log_in(self, name: str, password: str, address: str) -> Login:
        """Start a session. Raises `LoginRefusedError`, which does not say whether the name is known."""
        now = self._clock.now()
        keys = (f"account {name}", f"address {address}")
        wait_s = max(self._throttle.wait_s(key, now) for key in keys)
        if wait_s > 0:
            log.warning("login_throttled", account=name, address=address, wait_s=round(wait_s))
            raise LoginRefusedError("too many wrong passwords", wait_s)
        account = self._accounts.find(name)
        right = passwords.matches(account.password_hash if account else _UNKNOWN, password[: passwords.LONGEST + 1])
        if account is None or account.disabled or not right:
            for key in keys:
                self._throttle.failed(key, now)
            log.warning("login_failed", account=name, address=address)
            raise LoginRefusedError("the name or the password is wrong", 0.0)
        self._throttle.forget(keys[0])
        self._accounts.end_old(*self._ends(now))
        token = secrets.token_urlsafe(32)
        self._accounts.start(_key(token), name, now)
        log.info("logged_in", account=name, role=account.role.value, address=address)
        return Login(token, Session(_key(token), account, now, now))

    def session(self, token: str, *, used: bool) -> Session | None:
        """Return the session of a token; None where it has ended, or its account is disabled.

        used: a person did something; a page that loads itself again keeps no session alive.
        """
        session = self._accounts.session(_key(token))
        if session is None or session.account.disabled:
            return None
        now = self._clock.now()
        started_before, seen_before = self._ends(now)
        if session.started_at <= started_before or session.seen_at <= seen_before:
            self._accounts.end(session.key)
            log.info("session_expired", account=session.account.name)
            return None
        if used and (now - session.seen_at).total_seconds() >= SEEN_EVERY_S:
            self._accounts.seen(session.key, now)
        return session

    def log_out(self, session: Session) -> None:
        """End a session."""
        self._accounts.end(session.key)
        log.info("logged_out", account=session.account.name)

    def _ends(self, now: datetime) -> tuple[datetime, datetime]:
        policy = self._policy
        return now - timedelta(seconds=policy.longest_s), now - timedelta(seconds=policy.idle_s)


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


__all__ = ["Login", "LoginDesk", "Throttle"]
