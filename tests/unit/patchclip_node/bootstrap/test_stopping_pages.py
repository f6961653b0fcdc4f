from __future__ import annotations

import threading

import uvicorn
from starlette.applications import Starlette

from patchclip_node.bootstrap.web import Server


def test_a_signal_that_came_before_the_server_stood_ends_it() -> None:
    stop = threading.Event()
    stop.set()
    server = Server(uvicorn.Config(Starlette(), host="127.0.0.1", port=0, log_config=None), stop)
    serving = threading.Thread(target=server.run, daemon=True)  # off the main thread uvicorn hears no signal

    serving.start()
    serving.join(10)

    assert not serving.is_alive()
    assert server.started
