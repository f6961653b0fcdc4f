"""A connection that does not finish its request's headers is closed; one that does is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from patchclip_node.web import header_timeout
from patchclip_node.web.header_timeout import HeaderTimeoutProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(header_timeout, "HEADERS_WITHIN_S", 0.4)
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    config = uvicorn.Config(app, http=HeaderTimeoutProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join(20)
    listener.close()


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes."""
    try:
        return connection.recv(1024) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: localh"])
def test_headers_that_do_not_come_end_the_connection(port: int, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begin)
        assert ends(connection)


def test_a_byte_now_and_then_earns_no_more_time(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        started = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the bytes is refused depends on the machine
            while time.monotonic() - started < 20:
                connection.sendall(b"G")
                time.sleep(0.05)


def test_a_second_request_on_a_connection_has_to_finish_too(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"here"):
            answer += connection.recv(1024)
        connection.sendall(REQUEST[:9])
        assert ends(connection)
