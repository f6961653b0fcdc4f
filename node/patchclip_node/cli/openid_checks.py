"""What `doctor` says of the OpenID provider: whether logins would come about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.errors import LoginRefusedError, ProviderUnavailableError
from patchclip_node.domain.identity import Departure
from patchclip_node.settings import NodeSettings

if TYPE_CHECKING:
    from patchclip_node.adapters.openid.discovery import Metadata
    from patchclip_node.domain.openid import Registration


def openid(settings: NodeSettings) -> Iterator[CheckResult]:
    """The provider answers, its clock agrees, and it knows this node's redirect URI and secret."""
    if settings.web.openid is None:
        return
    from patchclip_node.adapters.openid.discovery import discover, fetch_keys

    registration = settings.web.openid.registration
    try:
        metadata, headers = discover(registration)
        keys = fetch_keys(registration, metadata)
    except ProviderUnavailableError as error:
        advice = "check web.openid.issuer and ca, and the way there; until then only a sealed or local account gets in"
        yield CheckResult("OpenID provider", Status.FAIL, str(error), advice)
        return
    yield CheckResult("OpenID provider", Status.OK, f"{registration.issuer} answers, with {len(keys.keys)} keys")
    yield from _clock(registration, headers)
    yield _redirect_uri(registration, metadata)
    yield _secret(registration)
    if metadata.end_session_endpoint is None:
        detail = "the provider has no place to log out at: a logout ends the session here alone"
        yield CheckResult("OpenID logout", Status.WARN, detail, "who shares a computer logs out at the provider, too")


def sealed_accounts(settings: NodeSettings, accounts: Iterable[Account]) -> Iterator[CheckResult]:
    """There is a way in while the provider is out of reach, and no seal was broken unseen."""
    if settings.web.emergency_s is None:
        return
    sealed = [one for one in accounts if one.role is Role.SEALED and not one.disabled]
    for account in sealed:
        if account.opened_at is not None:
            detail = f"the code of {account.name} was used first on {account.opened_at:%Y-%m-%d %H:%M} UTC"
            advice = f"find out by whom and why, then seal a new one: patchclip-node users break-glass {account.name}"
            yield CheckResult("emergency account", Status.WARN, detail, advice)
        else:
            yield CheckResult("emergency account", Status.OK, f"{account.name} is sealed")
    if not sealed and settings.web.openid is not None:
        detail = "while the provider is out of reach, only who has a local account gets in"
        yield CheckResult("emergency account", Status.WARN, detail, "make one: patchclip-node users break-glass NAME")


def _clock(registration: Registration, headers: Mapping[str, str]) -> Iterator[CheckResult]:
    """Compare clocks by the provider's Date header, which has whole seconds."""
    if "date" not in headers:
        return
    skew_s = (parsedate_to_datetime(headers["date"]) - datetime.now(UTC)).total_seconds()
    if abs(skew_s) <= registration.clock_skew_s / 2:
        yield CheckResult("OpenID clock", Status.OK, f"the provider's clock differs by {abs(skew_s):.0f} s")
        return
    status = Status.WARN if abs(skew_s) <= registration.clock_skew_s else Status.FAIL
    detail = f"the provider's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this one"
    yield CheckResult("OpenID clock", status, detail, "set both by the same time service (NTP)")


def _redirect_uri(registration: Registration, metadata: Metadata) -> CheckResult:
    """Begin a login that shows no form (prompt=none): a provider sends back only to where it knows."""
    from patchclip_node.adapters.openid.connection import client_of

    departure = Departure.to("/")
    with client_of(registration) as client:
        url, _ = client.create_authorization_url(
            metadata.authorization_endpoint,
            state=departure.state,
            code_verifier=departure.verifier,
            nonce=departure.nonce,
            prompt="none",
        )
        answer = client.request("GET", url, withhold_token=True)
    uri = registration.redirect_uri
    if answer.is_redirect and answer.headers.get("location", "").startswith(uri):
        return CheckResult("OpenID redirect URI", Status.OK, f"the provider sends browsers back to {uri}")
    if answer.is_client_error:
        advice = f"register {uri} for the client {registration.client_id} at the provider, to the letter"
        detail = f"the provider answers {answer.status_code} to a login of {registration.client_id} that leads to {uri}"
        return CheckResult("OpenID redirect URI", Status.FAIL, detail, advice)
    detail = f"whether the provider sends browsers back to {uri} shows only when a person logs in"
    return CheckResult("OpenID redirect URI", Status.WARN, detail, "log in once by the pages")


def _secret(registration: Registration) -> CheckResult:
    """Ask for the tokens of a code that was never given: who the client is comes first, the code second."""
    from patchclip_node.adapters.clock import SystemClock
    from patchclip_node.adapters.openid import OpenIdProvider

    departure = Departure.to("/")
    try:
        OpenIdProvider(registration, SystemClock()).arrival("of-doctor", registration.issuer, departure)
    except ProviderUnavailableError as error:
        return CheckResult("OpenID client", Status.FAIL, str(error), "check client_id and the secret's file")
    except LoginRefusedError:
        pass
    return CheckResult("OpenID client", Status.OK, f"the provider knows {registration.client_id} and takes its secret")


__all__ = ["openid", "sealed_accounts"]
