"""A mail server and a web server that take what they get: where alerts arrive in tests."""

from __future__ import annotations

import contextlib
import email
import socketserver
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeVar


class MailSink(socketserver.ThreadingTCPServer):
    """Takes mail (RFC 5321) on loopback. refuses: every recipient. context: STARTTLS is offered with it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[str] = []
        """AUTH commands, with what came with them, over TLS."""
        self.refuses = False
        self.context = context
        super().__init__(("127.0.0.1", 0), _MailSession)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def text(self, number: int) -> str:
        """Return subject and words of a mail."""
        mail = self.mails[number]
        return f"{mail['Subject']}\n{mail.get_content()}"


class _MailSession(socketserver.StreamRequestHandler):
    server: MailSink

    def handle(self) -> None:
        self._say(b"220 sink")
        while line := self.rfile.readline():
            command = line.decode().strip()
            word = command.partition(" ")[0].upper()
            if word == "QUIT":
                self._say(b"221 bye")
                break
            self._answer(word, command)
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def _answer(self, word: str, command: str) -> None:
        encrypted = isinstance(self.connection, ssl.SSLSocket)
        if word == "EHLO":
            offers = b"AUTH PLAIN" if encrypted else b"STARTTLS" if self.server.context else b"HELP"
            self._say(b"250-sink\r\n250 " + offers)
        elif word == "STARTTLS" and self.server.context is not None:
            self._say(b"220 go on")
            self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        elif word == "AUTH":
            self.server.logins.append(command)
            self._say(b"235 welcome")
        elif word == "RCPT" and self.server.refuses:
            self._say(b"550 unknown here")
        elif word == "DATA":
            self._say(b"354 go on")
            content = b"".join(iter(self.rfile.readline, b".\r\n"))
            self.server.mails.append(email.message_from_bytes(content, policy=default))
            self._say(b"250 taken")
        else:
            self._say(b"250 well")

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


class WebhookSink(HTTPServer):
    """Takes what is posted on loopback. posted: bodies and signatures. status: what it answers."""

    def __init__(self) -> None:
        self.posted: list[tuple[bytes, str | None]] = []
        self.status = 204
        super().__init__(("127.0.0.1", 0), _Hook)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Hook(BaseHTTPRequestHandler):
    server: WebhookSink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((body, self.headers.get("X-Patchclip-Signature")))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Say nothing."""


Sink = TypeVar("Sink", MailSink, WebhookSink)


@contextlib.contextmanager
def taking(sink: Sink) -> Iterator[Sink]:
    """Serve for the time of the context."""
    thread = threading.Thread(target=sink.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.shutdown()
        sink.server_close()
        thread.join()
