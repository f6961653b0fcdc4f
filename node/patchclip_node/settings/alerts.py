"""The settings of alerts: what a person is told, and how."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, StringConstraints, model_validator

from patchclip_node.domain.alerts import AlertPolicy
from patchclip_node.domain.rhythm import ExpectedSender
from patchclip_node.settings.section import Port, Section, web_address
from patchclip_node.settings.sections import AeTitle

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Address = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^\s@]+@[^\s@]+$")]
"""An address of RFC 5321, without a name beside it."""
Seconds = Annotated[float, Field(gt=0)]


def _host_alone(url: str) -> str:
    """Return what may be shown of an address. The digits tell that another one was set, and not which."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/*** ({hashlib.sha256(url.encode()).hexdigest()[:8]})"


class MailSettings(Section):
    """Who gets mail, and by which server."""

    host: str
    """The mail server's name or address."""
    port: Port = 587
    """Its port: 587 for starttls, 465 for tls, unless it says otherwise."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """starttls: the connection turns to TLS before anything is said; tls: it begins with TLS; none: in clear."""
    sender: Address
    """Whom the mail comes from."""
    to: Annotated[tuple[Address, ...], Field(min_length=1)]
    """Who gets it."""
    user: str | None = None
    """Name for the login; None: the server asks for none."""
    password_file: Path | None = None
    """Its first line is the password; mode 0600 or 0640."""
    ca: Path | None = None
    """Authorities of the server's certificate, in PEM; None: the system's."""

    @model_validator(mode="after")
    def _login_is_whole_and_secret(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together: give both, or neither")
        if self.user is not None and self.security == "none":
            raise ValueError("security: none: the password would travel in clear; take starttls or tls")
        return self


class WebhookSettings(Section):
    """A web address to which messages are posted as JSON."""

    url: Annotated[str, AfterValidator(web_address), PlainSerializer(_host_alone, when_used="json")]
    """Such as https://chat.hospital.example/hooks/imaging. What follows the host is often a secret and is not shown."""
    secret_file: Path | None = None
    """Its first line signs each message (HMAC with SHA-256, X-Patchclip-Signature); None: they are not signed."""
    ca: Path | None = None
    """Authorities of the server's certificate, in PEM; None: the system's."""


class ExpectedSenderSettings(Section):
    """When a sender counts as quiet, instead of what is learned from it."""

    ae_title: AeTitle
    """Its calling AE title."""
    after_s: Seconds | None
    """It is quiet when no radiograph came for this long; None: never."""
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = _DAYS
    """Only these days count."""
    from_hour: Annotated[int, Field(ge=0, le=23)] = 0
    """Only time from this hour on counts, by the host's clock."""
    until_hour: Annotated[int, Field(ge=1, le=24)] = 24
    """Only time before this hour counts."""

    @model_validator(mode="after")
    def _hours_have_a_span(self) -> Self:
        if self.until_hour <= self.from_hour:
            raise ValueError("until_hour must be after from_hour")
        return self

    @property
    def expected(self) -> ExpectedSender:
        """The same for who watches."""
        days = frozenset(map(_DAYS.index, self.days))
        return ExpectedSender(self.ae_title, self.after_s, days, self.from_hour, self.until_hour)


class CanarySettings(Section):
    """A study of no patient that goes through the running node again and again, and nowhere else."""

    every_s: Seconds = 3600.0
    """How often one is sent."""
    within_s: Seconds = 600.0
    """How long it may take until its results are built."""
    host: str | None = None
    """Where the receiver is reached; None: at `host` of the node, from its own machine."""
    calling_ae_title: AeTitle | None = None
    """What it calls itself; None: the first of calling_ae_titles, or the node's own."""


class AlertSettings(Section):
    """What a person is told, and how. Without mail and webhook it stands on the pages alone."""

    mail: MailSettings | None = None
    """Who gets mail; None: no mail goes."""
    webhook: WebhookSettings | None = None
    """Where messages are posted to; None: nowhere."""
    look_s: Seconds = 10.0
    """How often it is looked for."""
    after_s: Annotated[float, Field(ge=0)] = 120.0
    """A trouble is told once it has lasted for this long, and over once it has been gone for as long."""
    repeat_s: Seconds = 86_400.0
    """A trouble that lasts is told again after this long."""
    grew_s: Seconds = 3600.0
    """A trouble of which there is more is told again, but not before this long."""
    outage_s: Annotated[float, Field(ge=0)] = 300.0
    """A destination that takes nothing for this long is down."""
    least_free_bytes: Annotated[int, Field(ge=0)] = 5 * 1024**3
    """The disk is filling up when less than this is left above limits.min_free_bytes."""
    certificate_days: Annotated[float, Field(ge=0)] = 30.0
    """A certificate of the node is told of this many days before it expires."""
    senders: tuple[ExpectedSenderSettings, ...] = ()
    """Senders whose silence is judged by what stands here, and not by what is learned from them."""
    learn_senders: bool = True
    """The other senders are expected in the hours of the week in which they used to send."""
    canary: CanarySettings | None = None
    """A study of no patient goes through the node; None: none does."""

    @property
    def policy(self) -> AlertPolicy:
        """When what is told."""
        return AlertPolicy(self.after_s, self.repeat_s, self.grew_s)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the ways to a person."""
        return tuple(name for name in ("mail", "webhook") if getattr(self, name) is not None)


__all__ = ["AlertSettings", "CanarySettings", "ExpectedSenderSettings", "MailSettings", "WebhookSettings"]
