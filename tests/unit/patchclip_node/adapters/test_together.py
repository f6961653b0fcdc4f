"""What several threads bring at once is done in one go, and each learns what became of its item."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from patchclip_node.adapters.ledger.together import Together
from patchclip_node.domain.errors import LedgerUnavailableError
from tests.support.scp import wait_until


class Gate:
    """Does items in goes that a test lets through; `goes` has what each go was."""

    def __init__(self, fail: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self.goes: list[list[str]] = []
        self.is_open = threading.Event()
        self._fail = fail

    def do_all(self, items: Sequence[str]) -> list[str]:
        self.goes.append(list(items))
        assert self.is_open.wait(10)
        self._fail(items)
        return [item.upper() for item in items]


def brought(gate: Gate, *items: str) -> dict[str, Future[str]]:
    """Bring a first item, which waits at the gate, then all others; open the gate once all have come."""
    together: Together[str, str] = Together(gate.do_all)
    with ThreadPoolExecutor(len(items)) as threads:
        results = {items[0]: threads.submit(together.do, items[0])}
        wait_until(lambda: bool(gate.goes))
        results |= {item: threads.submit(together.do, item) for item in items[1:]}
        wait_until(lambda: len(together._waiting) == len(items) - 1)
        gate.is_open.set()
    return results


def test_what_waits_meanwhile_is_done_in_one_go() -> None:
    gate = Gate()

    results = brought(gate, "a", "b", "c", "d")

    assert [sorted(go) for go in gate.goes] == [["a"], ["b", "c", "d"]]
    assert {item: result.result() for item, result in results.items()} == {item: item.upper() for item in "abcd"}


def test_nobody_is_told_before_the_go_of_its_own_item_has_ended() -> None:
    gate = Gate()
    together: Together[str, str] = Together(gate.do_all)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(together.do, "a")
        wait_until(lambda: bool(gate.goes))
        second = threads.submit(together.do, "b")
        wait_until(lambda: len(together._waiting) == 1)

        assert not first.done()
        assert not second.done()
        gate.is_open.set()
        assert (first.result(10), second.result(10)) == ("A", "B")


def test_the_fault_of_one_item_is_not_that_of_the_others() -> None:
    def refuse_c(items: Sequence[str]) -> None:
        if "c" in items:
            raise KeyError("c")

    gate = Gate(refuse_c)

    results = brought(gate, "a", "b", "c", "d")

    with pytest.raises(KeyError, match="c"):
        results["c"].result()
    assert [results[item].result() for item in ("a", "b", "d")] == ["A", "B", "D"]


def test_a_ledger_that_does_not_answer_is_waited_for_once_and_not_once_for_each() -> None:
    def unavailable(items: Sequence[str]) -> None:
        if "b" in items:
            raise LedgerUnavailableError("down")

    gate = Gate(unavailable)

    results = brought(gate, "a", "b", "c", "d")

    assert results["a"].result() == "A"
    for item in "bcd":
        with pytest.raises(LedgerUnavailableError, match="down"):
            results[item].result()
    assert len(gate.goes) == 2
