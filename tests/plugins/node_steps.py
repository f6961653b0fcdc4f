"""The named steps of a study's way; a test kills or holds the process of a node that comes to one.

An order is a file in the folder that NODE_STEPS names: `STEP.kill` or `STEP.hold`. The process that comes to the step
first takes it by renaming it to `STEP.killed` or `STEP.held`; a held process waits until that file is gone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """Just before or after a function runs, in the processes of one of the node's commands."""

    name: str
    command: str
    module: str
    function: str
    is_before: bool


def _before(name: str, command: str, module: str, function: str) -> Step:
    return Step(name, command, f"patchclip_node.{module}", function, True)


def _after(name: str, command: str, module: str, function: str) -> Step:
    return Step(name, command, f"patchclip_node.{module}", function, False)


RECEIVING = (
    _after("fragment-written", "receive", "scp.incoming", "IncomingDataSet.write"),
    _after("data-set-complete", "receive", "scp.incoming", "IncomingDataSet.complete"),
    _before("file-not-synced", "receive", "adapters.file_spool", "FileSpool._store"),
    _before("folder-not-synced", "receive", "adapters.file_spool", "sync_folder"),
    _before("file-stored", "receive", "adapters.ledger.receiving", "SqlArrivals.record"),
    _after("row-not-committed", "receive", "adapters.ledger.receiving", "_insert"),
    _after("rows-committed-together", "receive", "adapters.ledger.receiving", "SqlArrivals._record_all"),
    _after("row-committed", "receive", "adapters.ledger.receiving", "SqlArrivals.record"),
    _after("not-acknowledged", "receive", "scp.storage_scp", "StorageScp._store"),
)
HELPER = "patchclip_node.bootstrap.helping"
"""The command of a process that helps the receiver."""
HELPING = tuple(replace(step, name=f"helper-{step.name}", command=HELPER) for step in RECEIVING)
"""The same steps in a process that serves what the receiver has handed over: an order says which of them it means."""
ANALYSING = (
    _before("study-quiet", "work", "adapters.ledger.receiving", "SqlArrivals.close_quiet"),
    _after("study-closed", "work", "services.complete", "CompleteService.run_once"),
    _before("not-woken", "work", "adapters.celery_queue", "CeleryTaskQueue.wake"),
    _after("woken", "work", "adapters.celery_queue", "CeleryTaskQueue.wake"),
    _after("analysis-leased", "work", "adapters.ledger.analysing", "SqlAnalyses.lease"),
    Step("in-model", "work", "bright_pixels", "BrightPixels._analyze", True),
    _before("result-not-synced", "work", "adapters.file_spool", "FileSpool._store"),
    _before("result-folder-not-synced", "work", "adapters.file_spool", "sync_folder"),
    _after("result-written", "work", "adapters.file_spool", "FileSpool.write"),
    _before("results-not-recorded", "work", "adapters.ledger.analysing", "SqlAnalyses.finish"),
    _after("results-not-committed", "work", "adapters.ledger.analysing", "_plan_deliveries"),
    _after("results-committed", "work", "adapters.ledger.analysing", "SqlAnalyses.finish"),
)
RETURNING = (
    _after("delivery-leased", "deliver", "adapters.ledger.returning", "SqlDeliveries.lease"),
    _before("nothing-sent", "deliver", "scu.sender", "DicomResultSender.send"),
    _after("one-object-sent", "deliver", "scu.sender", "DicomResultSender._store"),
    _after("all-sent", "deliver", "scu.sender", "DicomResultSender.send"),
    _before("not-confirmed", "deliver", "adapters.ledger.returning", "SqlDeliveries.confirm"),
    _before("confirmation-not-committed", "deliver", "adapters.ledger.returning", "end_if_settled"),
    _after("confirmed", "deliver", "adapters.ledger.returning", "SqlDeliveries.confirm"),
)
RECALLING = (
    _after("note-written", "deliver", "adapters.file_spool", "FileSpool.write"),
    _before("note-not-planned", "deliver", "adapters.ledger.recalling", "SqlRecalls.settle_note"),
    _after("note-planned", "deliver", "adapters.ledger.recalling", "SqlRecalls.settle_note"),
)
"""Where results are recalled; the last steps of `RETURNING` follow."""
KEEPING = (
    _after("file-copied", "backup", "adapters.backups.make", "_Maker._copy_stored"),
    _after("tables-not-committed", "upgrade", "adapters.ledger.migrate", "keep_tallies"),
    _before("ledger-not-restored", "restore", "adapters.backups.restore", "_refuse_loss"),
)
"""In the commands that copy a node's data, or change its tables."""
STEPS = (*RECEIVING, *HELPING, *ANALYSING, *RETURNING)

_LOOK_EVERY_S = 0.02


def install(folder: Path) -> None:
    """Watch the steps of this process's command, as each module is imported."""
    sys.meta_path.insert(
        0, _Watching(folder, [step for step in (*STEPS, *RECALLING, *KEEPING) if step.command in sys.orig_argv])
    )


class _Watching(MetaPathFinder):
    def __init__(self, folder: Path, steps: Sequence[Step]) -> None:
        self._folder = folder
        self._steps = steps

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        here = [step for step in self._steps if step.module == fullname]
        if not here:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_watch(module: ModuleType) -> None:
            execute(module)
            for step in here:
                self._watch(module, step)

        spec.loader.exec_module = execute_and_watch  # type: ignore[method-assign]
        return spec

    def _watch(self, module: ModuleType, step: Step) -> None:
        *owners, name = step.function.split(".")
        owner: Any = functools.reduce(getattr, owners, module)
        setattr(owner, name, self._stopping(getattr(owner, name), step))

    def _stopping(self, function: Callable[..., Any], step: Step) -> Callable[..., Any]:
        @functools.wraps(function)
        def stopping(*arguments: Any, **named: Any) -> Any:
            if step.is_before:
                self._come_to(step)
            result = function(*arguments, **named)
            if not step.is_before:
                self._come_to(step)
            return result

        return stopping

    def _come_to(self, step: Step) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{step.name}.kill").rename(self._folder / f"{step.name}.killed")
            os.kill(os.getpid(), signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            held = (self._folder / f"{step.name}.hold").rename(self._folder / f"{step.name}.held")
            while held.exists():
                time.sleep(_LOOK_EVERY_S)
