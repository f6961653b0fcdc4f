"""What both programs say, and how they end."""

from __future__ import annotations

import errno

import pytest

from patchclip_core.terminal import EXIT_FAILURE, EXIT_USAGE, progress, run_program, steps


def _raise(error: BaseException) -> None:
    raise error


def _run(error: BaseException) -> None:
    run_program("patchclip-test", lambda: _raise(error), usage=(LookupError,), failures=(OSError,))


@pytest.mark.parametrize(
    ("error", "status"), [(KeyError("colour"), EXIT_USAGE), (TimeoutError("no answer"), EXIT_FAILURE)]
)
def test_an_expected_error_is_one_message_and_an_exit_code(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _run(error)

    assert ended.value.code == status
    assert capsys.readouterr().err == f"patchclip-test: {error}\n"


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        _run(ZeroDivisionError())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_that_says_what_to_do(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(number, "No space left on device", "/data/out/metrics.json")

    with pytest.raises(SystemExit) as ended:
        run_program("patchclip-test", lambda: _raise(error), usage=(LookupError,), failures=(ValueError,))

    assert ended.value.code == EXIT_FAILURE
    assert capsys.readouterr().err == (
        "patchclip-test: /data/out/metrics.json: No space left on device; make room there and give the command again\n"
    )


def test_another_failure_of_the_disk_is_a_defect() -> None:
    with pytest.raises(OSError, match="EIO"):
        run_program(
            "patchclip-test", lambda: _raise(OSError(errno.EIO, "EIO")), usage=(LookupError,), failures=(ValueError,)
        )


def test_a_reader_that_has_seen_enough_is_not_told_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program("patchclip-test", lambda: _raise(BrokenPipeError()), usage=(LookupError,), failures=(ValueError,))

    assert ended.value.code == EXIT_FAILURE
    assert capsys.readouterr().err == ""


def test_without_a_terminal_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with steps("study", 2) as done:
        done("first")
        done("second")

    assert capsys.readouterr().err == "study 1/2: first\nstudy 2/2: second\n"


def test_without_a_terminal_what_is_counted_is_a_line_now_and_then_with_its_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("patchclip_core.terminal.time.monotonic", lambda: now_s)

    with progress("training", "steps") as show:
        for done in range(501, 541):  # an earlier run had taken the first 500
            now_s += 0.5
            show(done, 540)

    assert capsys.readouterr().err.splitlines() == [
        "training 520/540, 2.0 steps/s, 10 s left",
        "training 540/540, 2.0 steps/s",
    ]
