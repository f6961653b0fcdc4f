"""`ready` is said when a study would be analysed, and again after a process had to be started again."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from patchclip_node.bootstrap.readiness import ReadyBoard, tell_ready
from patchclip_node.bootstrap.supervisor import COMMANDS, Child, ready_line, supervise
from patchclip_node.settings import NodeSettings
from tests.peers.processes import wait_until

SAYS_READY = "from patchclip_node.bootstrap.readiness import tell_ready; import sys, time; tell_ready(sys.argv[1]); "


def test_the_last_process_makes_it_ready() -> None:
    with ReadyBoard(COMMANDS) as board:
        for name in COMMANDS[:-1]:
            tell_ready(name)
            assert not board.hear()
        tell_ready("stranger")
        assert not board.hear()
        tell_ready(COMMANDS[-1])
        assert board.hear()
        assert not board.hear(), "it is said once"


def test_a_process_that_ended_has_to_say_it_again() -> None:
    with ReadyBoard(["work"]) as board:
        tell_ready("work")
        assert board.hear()
        board.ended("work")
        assert not board.hear()
        tell_ready("work")
        assert board.hear()


def test_without_a_listener_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_ready("work")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/socket")
    tell_ready("work")


def test_who_started_the_node_is_told_as_systemd_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with ReadyBoard(["work"]) as board:
            assert os.environ["NOTIFY_SOCKET"].startswith("@")
            board.pass_on()
            assert os.environ["NOTIFY_SOCKET"].startswith("@")

        assert b"READY=1" in systemd.recv(4096).splitlines()
        assert os.environ["NOTIFY_SOCKET"] == str(tmp_path / "notify")


def test_the_supervisor_says_ready_once_all_children_are(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    said: list[str] = []
    with ReadyBoard(["a", "b"]) as board:
        children = [Child(name, [sys.executable, "-c", f"{SAYS_READY}time.sleep(60)", name]) for name in ("a", "b")]
        thread = threading.Thread(target=supervise, args=(children, stop, board, "ready: all"))
        thread.start()

        def is_said() -> bool:
            said.append(capsys.readouterr().out)
            return "ready: all\n" in "".join(said)

        wait_until(is_said, "ready is said")
        stop.set()
        thread.join()

    assert "".join(said).count("ready: all\n") == 1


def test_the_line_has_the_address_of_the_pages_and_where_results_go() -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}

    line = ready_line(NodeSettings.model_validate({"web": {"host": "::1", "port": 8042}, "destinations": [pacs]}))

    assert line == (
        "ready: PATCHCLIP receives on 0.0.0.0:11112, the model is loaded, and results go to pacs; "
        "status pages: http://[::1]:8042/"
    )
    assert "no destinations" in ready_line(NodeSettings())
