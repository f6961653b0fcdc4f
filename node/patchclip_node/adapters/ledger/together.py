"""Many threads, one transaction: what waits while the disk is busy is committed with one sync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from patchclip_node.domain.errors import LedgerUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(Generic[Item, Answer]):
    """What one thread brought, and what became of it."""

    __slots__ = ("answer", "error", "is_over", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.is_over = False


class Together(Generic[Item, Answer]):
    """Does what several threads bring at the same time in one go.

    The thread whose turn it is takes all that wait with it. Each thread returns when the go that its own item was part
    of has ended, and not before.
    """

    def __init__(self, do_all: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        """`do_all` does items in their order, all or none, and returns an answer for each."""
        self._do_all = do_all
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._entry = threading.Lock()
        self._turn = threading.Lock()

    def do(self, item: Item) -> Answer:
        """Do an item. Raises what doing it raises; the fault of another item is not this one's."""
        mine: _Waiting[Item, Answer] = _Waiting(item)
        with self._entry:
            self._waiting.append(mine)
        with self._turn:
            if not mine.is_over:
                with self._entry:
                    taken, self._waiting = self._waiting, []
                self._do(taken)
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]  # it is there where no error is

    def _do(self, taken: Sequence[_Waiting[Item, Answer]]) -> None:
        try:
            answers = self._do_all([one.item for one in taken])
            for one, answer in zip(taken, answers, strict=True):
                one.answer = answer
        except LedgerUnavailableError as error:  # each would meet it, and wait as long
            for one in taken:
                one.error = error
        except BaseException as error:  # noqa: BLE001 - each thread gets what is its own
            if len(taken) == 1:
                taken[0].error = error
            else:
                for one in taken:
                    self._do([one])
        finally:
            for one in taken:
                one.is_over = True
