"""Messages go by mail and to a webhook, over TLS, with a login and a signature; what keeps them is said."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from patchclip_node.adapters.alerts import MailAccount, MailChannel, Webhook, WebhookChannel
from patchclip_node.adapters.alerts.mail import MailSecurity
from patchclip_node.adapters.alerts.webhook import signature
from patchclip_node.domain.alerts import AlertKind, AlertMessage, Condition, News
from patchclip_node.domain.errors import ConfigurationError, PeerError
from tests.peers.processes import free_port
from tests.peers.sinks import MailSink, WebhookSink, taking
from tests.support.certificates import Authority
from tests.support.fakes import START

SENDER = "no radiograph from ROOM\r\nBcc: everybody@example.org since 08:00"
MESSAGE = AlertMessage(
    "7.1",
    News.RAISED,
    Condition(AlertKind.SENDER, SENDER, "see whether it is on; größer", subject="ROOM"),
    START,
    START,
    "PATCHCLIP",
    "node-1",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("mail") / "authority")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("open sesame\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def sink(authority: Authority) -> Iterator[MailSink]:
    server = authority.issue("mail")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    with taking(MailSink(context)) as sink:
        yield sink


def account(sink: MailSink, authority: Authority, secret: Path) -> MailAccount:
    to = ("team@hospital.example", "chief@hospital.example")
    return MailAccount(
        "127.0.0.1", sink.port, MailSecurity.STARTTLS, "node@hospital.example", to, "node", secret, authority.ca
    )


@pytest.mark.peer("openssl")
def test_a_mail_goes_over_tls_with_a_login_and_its_words_reach_no_header(
    sink: MailSink, authority: Authority, secret: Path
) -> None:
    channel = MailChannel(account(sink, authority, secret))

    channel.send(MESSAGE)
    channel.send(MESSAGE)

    first, second = sink.mails
    assert len(sink.logins) == 2, "no login before TLS is there"
    assert first["To"] == "team@hospital.example, chief@hospital.example"
    assert first["Subject"] == "[PATCHCLIP] critical: no radiograph from ROOM Bcc: everybody@example.org since 08:00"
    assert first["Bcc"] is None
    assert "größer" in first.get_content()
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.peer("openssl")
def test_a_server_of_another_authority_gets_neither_password_nor_mail(
    sink: MailSink, authority: Authority, secret: Path, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "Stranger")

    with pytest.raises(PeerError, match="its certificate is not taken"):
        MailChannel(replace(account(sink, authority, secret), ca=stranger.ca)).send(MESSAGE)

    assert (sink.logins, sink.mails) == ([], [])


def test_what_keeps_a_mail_is_said(secret: Path) -> None:
    plain = MailAccount("127.0.0.1", free_port(), MailSecurity.NONE, "a@b.example", ("c@d.example",))
    with pytest.raises(PeerError, match="can't be reached: Connection refused"):
        MailChannel(plain).send(MESSAGE)
    with taking(MailSink()) as sink:
        sink.refuses = True
        with pytest.raises(PeerError, match=r"takes no mail for c@d\.example: see alerts\.mail\.to"):
            MailChannel(replace(plain, port=sink.port)).send(MESSAGE)
        with pytest.raises(PeerError, match="did not take it: STARTTLS extension not supported"):
            MailChannel(replace(plain, port=sink.port, security=MailSecurity.STARTTLS)).send(MESSAGE)
        secret.chmod(0o644)
        with pytest.raises(ConfigurationError, match=r"alerts\.webhook\.secret_file: .* others can read"):
            WebhookChannel(Webhook("http://127.0.0.1:9/", secret)).send(MESSAGE)


def test_a_webhook_gets_json_that_is_signed(secret: Path) -> None:
    with taking(WebhookSink()) as sink:
        WebhookChannel(Webhook(sink.url, secret)).send(MESSAGE)
        WebhookChannel(Webhook(sink.url)).send(MESSAGE)
        sink.status = 503
        with pytest.raises(PeerError, match="the webhook answers 503"):
            WebhookChannel(Webhook(sink.url)).send(MESSAGE)
    with pytest.raises(PeerError, match="the webhook can't be reached"):
        WebhookChannel(Webhook(sink.url)).send(MESSAGE)

    (body, signed), (_, unsigned), _ = sink.posted
    assert signed == f"sha256={signature('open sesame', body)}"
    assert unsigned is None
    values = json.loads(body)
    assert (values["kind"], values["subject"], values["next_step"]) == (
        "sender-quiet",
        "ROOM",
        "see whether it is on; größer",
    )
    assert AlertMessage.from_values(values) == MESSAGE
