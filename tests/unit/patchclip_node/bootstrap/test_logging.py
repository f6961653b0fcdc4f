from __future__ import annotations

import json
import logging

import pytest
import structlog

from patchclip_node.bootstrap.logging import configure
from patchclip_node.settings import LogSettings


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_carry_the_process_and_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"), "work")

    with structlog.contextvars.bound_contextvars(study_instance_uid="1.2.3"):
        structlog.get_logger("test").info("study_analysed", images=2)

    (line,) = lines(capsys)
    assert line["event"] == "study_analysed"
    assert line["process"] == "work"
    assert line["level"] == "info"
    assert line["study_instance_uid"] == "1.2.3"
    assert line["images"] == 2
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_librarys_records_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"), "receive")

    logging.getLogger("celery.worker").warning("broker %s gone", "redis")

    (line,) = lines(capsys)
    assert (line["event"], line["process"], line["level"]) == ("broker redis gone", "receive", "warning")


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="warning"), "work")

    structlog.get_logger("test").info("left_out")
    structlog.get_logger("test").warning("kept")

    assert [line["event"] for line in lines(capsys)] == ["kept"]


@pytest.mark.parametrize("library", ["pydicom", "pynetdicom", "celery", "sqlalchemy", "kombu"])
def test_libraries_are_quiet_even_where_we_are_not(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="debug"), "work")

    logging.getLogger(library).info("chatter")

    assert lines(capsys) == []


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_is_kept_without_the_values_of_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format=style), "work")  # type: ignore[arg-type]  # one of the two literals
    patient_name = "Secret^Name"

    try:
        raise ValueError("no such thing")
    except ValueError:
        structlog.get_logger("test").exception("defect", length=len(patient_name))

    text = capsys.readouterr().err
    assert "ValueError: no such thing" in text
    assert "Secret" not in text


def test_configuring_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"), "work")
    configure(LogSettings(format="json"), "work")

    structlog.get_logger("test").info("once")

    assert len(lines(capsys)) == 1


def test_a_librarys_tracebacks_become_one_counted_event_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("patchclip_node.bootstrap.library_troubles.time.monotonic", lambda: now_s[0])
    configure(LogSettings(format="json"), "receive")

    def undecodable(nonsense: str) -> None:
        try:
            raise ValueError(nonsense)
        except ValueError as error:
            logging.getLogger("pynetdicom.dul").exception(error)

    for number in range(1000):
        undecodable(f"sent by the peer: {number}")
    now_s[0] = 61.0
    undecodable("again")

    first, second = lines(capsys)
    assert (first["event"], first["library"], first["times"]) == ("library_trouble", "pynetdicom.dul", 1)
    assert second["times"] == 1000
    assert "exception" not in first
    assert "sent by the peer" not in json.dumps([first, second])


def test_our_own_defects_keep_their_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"), "receive")

    for _ in range(2):
        try:
            raise ValueError("ours")
        except ValueError:
            structlog.get_logger("test").exception("receive_defect")

    assert [("exception" in line) for line in lines(capsys)] == [True, True]
