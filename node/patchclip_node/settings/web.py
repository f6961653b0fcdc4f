"""The settings of the status pages."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from string import Formatter
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from patchclip_node.domain.accounts import SessionPolicy
from patchclip_node.settings.live import NEEDS_A_RESTART
from patchclip_node.settings.openid import OpenIdSettings
from patchclip_node.settings.section import Port, Section

_FILLED_IN: Final = ("study_instance_uid", "accession_number", "patient_id")
"""What the address of a viewer may have in braces."""

_VIEWER_SCHEMES: Final = ("http", "https", "weasis")


def _viewer_url(value: str) -> str:
    if not value:
        return value
    try:
        names = [name for _, name, form, conversion in Formatter().parse(value) if name is not None]
        plain = all(name in _FILLED_IN for name in names)
    except ValueError as error:
        raise ValueError(f"has an unmatched brace: {error}") from error
    if not plain or not names:
        raise ValueError(
            f"must hold one of {', '.join(f'{{{name}}}' for name in _FILLED_IN)}, and nothing else in braces"
        )
    if urlsplit(value).scheme not in _VIEWER_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(_VIEWER_SCHEMES)} and ://")
    return value


class WebSettings(Section):
    """The status pages. They show patient names: where there is no login they are served on loopback alone."""

    host: Annotated[str, NEEDS_A_RESTART] = "127.0.0.1"
    """Address that the pages listen on."""
    port: Annotated[Port, NEEDS_A_RESTART] = 8042
    """Their port."""
    allowed_hosts: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]+$")], ...] = ()
    """Names of the pages besides localhost, `host` and this machine's name: those of a proxy, or an alias."""
    behind_tls: bool = False
    """A proxy that speaks TLS stands before the pages: the session's cookie then travels over TLS alone."""
    session_idle_s: Annotated[float, Field(gt=0)] = 1800.0
    """A session ends this long after the last page that a person opened."""
    session_longest_s: Annotated[float, Field(gt=0)] = 12 * 3600.0
    """A session ends this long after its login, whatever happens in it."""
    emergency_s: Annotated[float, Field(gt=0)] | None = 3600.0
    """Emergency access ends by itself after this long; None: there is none."""
    local_accounts: bool = True
    """False: of the accounts on this machine only sealed ones may log in; all others are the provider's."""
    viewer_url: Annotated[str, AfterValidator(_viewer_url)] = ""
    """Address at which a viewer shows a study, with {study_instance_uid}, {accession_number} or {patient_id} in it."""
    viewer_label: Annotated[str, StringConstraints(min_length=1, max_length=40)] = "viewer"
    """What the pages call that viewer."""
    openid: OpenIdSettings | None = None
    """The provider that vouches for persons; None: there are local accounts alone."""

    @model_validator(mode="after")
    def _somebody_can_log_in(self) -> Self:
        if not self.local_accounts and self.openid is None:
            raise ValueError("local_accounts: without them, and without openid, there would be no login")
        return self

    @model_validator(mode="after")
    def _cookies_keep_to_tls(self) -> Self:
        if self.openid is not None and self.openid.pages_url.startswith("https:") and not self.behind_tls:
            raise ValueError("openid: pages_url is an https address: set behind_tls, so that cookies keep to it, too")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the pages."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pages besides those that the machine has."""
        return self.allowed_hosts if self.openid is None else (*self.allowed_hosts, self.openid.pages_host)

    @property
    def session_policy(self) -> SessionPolicy:
        """Who may log in, and when sessions end."""
        policy = SessionPolicy(self.session_idle_s, self.session_longest_s, self.local_accounts, self.emergency_s)
        return policy if self.openid is None else replace(policy, check_every_s=self.openid.check_every_s)


__all__ = ["WebSettings"]
