"""Logging in to the pages: sessions with an end, of local accounts and of persons for whom a provider vouches."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.audit import codes, events
from patchclip_node.audit.values import Outcome
from patchclip_node.domain.accounts import Account, Act, Emergency, Person, Role, Session, SessionPolicy, Voucher
from patchclip_node.domain.errors import LoginRefusedError, ProviderUnavailableError
from patchclip_node.domain.identity import Departure, Vouched
from patchclip_node.ports.accounts import Accounts, Sessions
from patchclip_node.ports.audit import Tell
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.identity_provider import IdentityProvider
from patchclip_node.services import passwords
from patchclip_node.services.audit.alarms import FORBIDDEN, FOREIGN_FORM, Alarms
from patchclip_node.services.session_secrets import disclosed, enclosed, key_of
from patchclip_node.services.throttle import Throttle
from patchclip_node.services.vouching import Vouching

log = structlog.get_logger(__name__)

SEEN_EVERY_S: Final = 30.0
"""How exactly the ledger knows when a session was last used: a page need not wait for a writer each time."""

_UNKNOWN: Final = passwords.hashed(secrets.token_hex())
"""What the password of an unknown name is compared with, so that it takes as long as that of a known one."""


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has just begun. `token`: 256 random bits for the browser alone."""

    token: str
    session: Session


class LoginDesk:
    """Starts sessions, finds them again and ends them. Without any account and provider the pages are open.

    provider: None where there are local accounts alone.
    """

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        tell: Tell,
        clock: Clock,
        policy: SessionPolicy,
        provider: IdentityProvider | None = None,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._tell = tell
        self._alarms = Alarms(tell, clock)
        self._clock = clock
        self._policy = policy
        self._provider = provider
        self._vouching = Vouching(sessions, policy, provider)
        self._throttle = Throttle()

    @property
    def is_open(self) -> bool:
        """Whether there is no login yet: no provider, and no account, be it disabled."""
        return self._provider is None and not self._accounts.any()

    @property
    def policy(self) -> SessionPolicy:
        """Who may log in, and when sessions end."""
        return self._policy

    def log_in(self, name: str, password: str, address: str) -> Login:
        """Start a session of a local account. Raises `LoginRefusedError`, in the same words for an unknown name."""
        now = self._clock.now()
        keys = (f"account {name}", f"address {address}")
        wait_s = max(self._throttle.wait_s(key, now) for key in keys)
        if wait_s > 0:
            raise self._failed(name, address, LoginRefusedError("too many wrong passwords", wait_s))
        account = self._accounts.find(name)
        right = passwords.matches(account.password_hash if account else _UNKNOWN, password[: passwords.LONGEST + 1])
        if account is None or not right or not self._admits(account, now):
            for key in keys:
                self._throttle.failed(key, now)
            raise self._failed(name, address, LoginRefusedError("the name or the password is wrong"))
        self._throttle.forget(keys[0])
        if account.role is Role.SEALED:
            who = events.person(name, address)
            said = f"the code of the sealed account {name} was used for the first time"
            self._accounts.open_seal(
                name, now, events.alert(codes.USER_ATTRIBUTES_CHANGED, now, events.WEB, said, who, Outcome.SUCCESS)
            )
            log.error("sealed_account_opened", account=name, address=address)
        return self._start(account.person, now, address)

    def depart(self, target: str, *, afresh: bool = False) -> tuple[Departure, str]:
        """Return what a browser has to bring back from the provider, and where it goes.

        Raises `ProviderUnavailableError`; `LoginRefusedError` where there is no provider.
        """
        departure = Departure.to(target)
        return departure, self._the_provider.departure_url(departure, afresh=afresh)

    def arrive(self, code: str, issuer: str | None, departure: Departure, address: str) -> Login:
        """Start a session of who came back with a code. Raises `LoginRefusedError` and `ProviderUnavailableError`.

        issuer: see `IdentityProvider.arrival`.
        """
        try:
            vouched = self._the_provider.arrival(code, issuer, departure)
        except LoginRefusedError as error:
            raise self._failed("", address, error) from error
        return self._start(vouched.person, self._clock.now(), address, vouched)

    def session(self, token: str, *, used: bool) -> Session | None:
        """Return the session of a token; None where it has ended.

        used: a person did something; a page that loads itself again keeps no session alive.
        """
        found = self._sessions.find(key_of(token))
        if found is None:
            return None
        now = self._clock.now()
        started_before, seen_before = self._ends(now)
        if found.started_at <= started_before or found.seen_at <= seen_before:
            self._ended(found, "session_expired", "the session's time was over")
            return None
        try:
            session = self._vouching.confirmed(found, token, now)
        except LoginRefusedError as error:
            self._ended(found, "session_refused", str(error))
            return None
        if used and (now - session.seen_at).total_seconds() >= SEEN_EVERY_S:
            self._sessions.seen(session.key, now)
        if session.emergency and session.emergency.until <= now:
            return self.end_emergency(session)
        return session

    def log_out(self, session: Session, token: str) -> str | None:
        """End a session. Returns where the browser goes to log out at the provider, too; None where nothing is to do.

        The session ends here even where the provider does not answer.
        """
        self._ended(session, "logged_out", "")
        if session.voucher is None or self._provider is None:
            return None
        _, id_token = disclosed(token, session.voucher.secrets)
        try:
            return self._provider.logout_url(id_token)
        except ProviderUnavailableError as error:
            log.warning("provider_unavailable", error=str(error))
            return None

    def break_glass(self, session: Session, reason: str) -> Session:
        """Give a session emergency access for a time, and say so where everybody who looks after the node sees it."""
        assert self._policy.emergency_s is not None
        now = self._clock.now()
        until = now + timedelta(seconds=self._policy.emergency_s)
        emergency, who = Emergency(reason, until), events.person(session.person.identity)
        said = f"emergency access until {until:%Y-%m-%d %H:%M:%S} UTC: {reason}"
        told = events.alert(codes.EMERGENCY_OVERRIDE_STARTED, now, events.WEB, said, who, Outcome.SUCCESS)
        self._sessions.set_emergency(session.key, emergency, told)
        log.error("emergency_access", account=session.person.identity, reason=reason, until=until.isoformat())
        return replace(session, emergency=emergency)

    def end_emergency(self, session: Session) -> Session:
        """Take emergency access from a session again."""
        now, who = self._clock.now(), events.person(session.person.identity)
        said = "emergency access has ended"
        told = events.alert(codes.EMERGENCY_OVERRIDE_STOPPED, now, events.WEB, said, who, Outcome.SUCCESS)
        self._sessions.set_emergency(session.key, None, told)
        log.warning("emergency_access_ended", account=session.person.identity)
        return replace(session, emergency=None)

    def forbidden(self, session: Session | None, act: Act, path: str, address: str) -> None:
        """Tell that a page or a form was refused to whoever holds a session."""
        said = f"may not {act.value}: {path}"
        self._alarms.raise_alarm(FORBIDDEN, said, address, _name(session), act=act.value, path=path)

    def forged(self, session: Session | None, path: str, address: str) -> None:
        """Tell that a form did not hold what the forms of its session do: another site may have made it."""
        said = f"a form that is not of this session: {path}"
        self._alarms.raise_alarm(FOREIGN_FORM, said, address, _name(session), path=path)

    def not_begun_here(self, address: str) -> None:
        """Tell that a browser came back from the provider with a login that it did not begin, or finished before."""
        self._failed("", address, LoginRefusedError("this login did not begin in this browser"))

    @property
    def _the_provider(self) -> IdentityProvider:
        if self._provider is None:
            raise LoginRefusedError("this node has no OpenID provider")
        return self._provider

    def _admits(self, account: Account, now: datetime) -> bool:
        allowed = self._policy.local_accounts or account.role is Role.SEALED
        return allowed and not account.disabled and not account.is_spent(now)

    def _start(self, person: Person, now: datetime, address: str, vouched: Vouched | None = None) -> Login:
        self._sessions.end_old(*self._ends(now))
        token = secrets.token_urlsafe(32)
        voucher = None
        if vouched is not None:
            voucher = Voucher(now, now, enclosed(token, vouched.refresh_token, vouched.id_token))
        session = Session(key_of(token), person, now, now, voucher=voucher)
        self._sessions.start(session, events.logged_in(now, events.person(person.identity, address)))
        log.info("logged_in", account=person.identity, name=person.name, role=person.role.value, address=address)
        return Login(token, session)

    def _ended(self, session: Session, event: str, why: str) -> None:
        told = events.logged_out(self._clock.now(), events.person(session.person.identity), why)
        self._sessions.end(session.key, told)
        log.info(event, account=session.person.identity, why=why)

    def _failed(self, name: str, address: str, error: LoginRefusedError) -> LoginRefusedError:
        """Tell of a login that was refused; returns the error."""
        now, who = self._clock.now(), events.person(name, address)
        if self._tell(events.logged_in(now, who, Outcome.MINOR_FAILURE, str(error)), "login_failed", address):
            log.warning("login_failed", account=name, address=address, why=str(error))
        return error

    def _ends(self, now: datetime) -> tuple[datetime, datetime]:
        policy = self._policy
        return now - timedelta(seconds=policy.longest_s), now - timedelta(seconds=policy.idle_s)


def _name(session: Session | None) -> str:
    return session.person.identity if session else ""


__all__ = ["Login", "LoginDesk"]
