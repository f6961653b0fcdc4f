"""Messages by mail (RFC 5321, submission as in RFC 6409), over TLS unless the settings say otherwise."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.adapters.trusted import trusting
from patchclip_node.domain.alerts import AlertMessage
from patchclip_node.domain.errors import PeerError

TIMEOUT_S: Final = 20.0
"""How long the server may take for each answer."""


class MailSecurity(StrEnum):
    """STARTTLS: the connection turns to TLS before anything is said. TLS: it begins with TLS. NONE: in clear."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailAccount:
    """Who sends to whom, and by which server. user: None where the server asks for no login. ca: None: the system's."""

    host: str
    port: int
    security: MailSecurity
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = None


class MailChannel:
    """The port `AlertChannel`. A message that is sent twice has the same Message-ID."""

    def __init__(self, account: MailAccount) -> None:
        self._account = account

    def send(self, message: AlertMessage) -> None:
        """See the port."""
        account = self._account
        where = f"the mail server {account.host}:{account.port}"
        try:
            with self._connected() as server:
                if account.user is not None and account.password_file is not None:
                    server.login(account.user, read_secret(account.password_file, "alerts.mail.password_file"))
                refused = server.send_message(_mail(account, message))
        except smtplib.SMTPAuthenticationError as error:
            raise PeerError(
                f"{where} refuses the login of {account.user}: see alerts.mail.user, password_file"
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise PeerError(f"{where} takes no mail for {', '.join(error.recipients)}: see alerts.mail.to") from error
        except smtplib.SMTPResponseException as error:
            raise PeerError(f"{where} answers {error.smtp_code}") from error
        except smtplib.SMTPException as error:
            raise PeerError(f"{where} did not take it: {error}") from error
        except ssl.SSLCertVerificationError as error:
            raise PeerError(f"{where}: its certificate is not taken: {error.verify_message}") from error
        except OSError as error:
            raise PeerError(f"{where} can't be reached: {error.strerror or error}") from error
        if refused:
            raise PeerError(f"{where} takes no mail for {', '.join(refused)}: see alerts.mail.to")

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        account = self._account
        if account.security is MailSecurity.TLS:
            context = trusting(account.ca, "alerts.mail.ca")
            with smtplib.SMTP_SSL(account.host, account.port, timeout=TIMEOUT_S, context=context) as server:
                yield server
            return
        with smtplib.SMTP(account.host, account.port, timeout=TIMEOUT_S) as server:
            if account.security is MailSecurity.STARTTLS:
                server.starttls(context=trusting(account.ca, "alerts.mail.ca"))
            yield server


def _mail(account: MailAccount, message: AlertMessage) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = account.sender
    mail["To"] = ", ".join(account.to)
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.key}.{message.at:%Y%m%d%H%M%S%f}@{_domain(account.sender)}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no mailbox answers it by itself
    mail.set_content(message.text)
    return mail


def _domain(address: str) -> str:
    return address.rpartition("@")[2].rstrip(">") or "localhost"


__all__ = ["MailAccount", "MailChannel", "MailSecurity"]
