"""Lets a changed configuration hold in the processes that run, or none of it; and goes back to an earlier one."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from patchclip_node.adapters.configuration_store import ConfigurationStore, replace_durably
from patchclip_node.adapters.people import who_runs_this
from patchclip_node.bootstrap.configuration import (
    SERVE,
    changes_between,
    in_this_process,
    kept,
    read_configuration,
    refuse_unusable,
    refuse_what_needs_a_restart,
    store_of,
    with_kept_files,
)
from patchclip_node.bootstrap.named_findings import refuse_unnamed_findings
from patchclip_node.domain.configuration import Configuration, RunningProcess, Version
from patchclip_node.domain.errors import NodeError
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.node import own_variables

ANSWER_S: Final = 60.0
"""How long processes may take to say whether they take a version: a loaded machine is slow, a working one answers."""

_LOOK_S: Final = 0.05


class NotAppliedError(NodeError):
    """A configuration does not hold in what runs. The text says why, and what holds instead."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied. keys: whose values are others than before. processes: that took it up."""

    version: Version
    keys: Sequence[str]
    processes: Sequence[str]


def apply(file: Path | None) -> Applied:
    """Let a configuration file hold in the node that runs with its data folder.

    Raises `ConfigurationError`, a `PatchClipError`, `NeedsRestartError` or `NotAppliedError`: then what held before
    holds.
    """
    settings, _ = read_configuration(file)
    refuse_unusable(settings)
    store = ConfigurationStore(settings.data_dir)
    if not store.folder.is_dir():
        raise _nothing_runs(store)
    with store.locked():
        return _apply(store, file, "apply")


def go_back(file: Path, number: int, *, only_write: bool = False) -> Applied | None:
    """Write an earlier version into the configuration file, and the files that it names, and let it hold.

    Returns None where it is to be written and no more, or nothing runs. Raises as `apply` does: then the files are as
    they were.
    """
    store = store_of(file)
    version = store.version(number)
    with store.locked():
        running = store.running()
        is_live = bool(running) and not only_write
        _refuse(
            store,
            running,
            store.file_of(number),
            partial(with_kept_files, store, version),
            also_what_needs_a_restart=is_live,
        )
        with _written(file, version.configuration):
            return _apply(store, file, f"back to {number}") if is_live else None


def _apply(store: ConfigurationStore, file: Path | None, act: str) -> Applied:
    running = store.running()
    if not running:
        raise _nothing_runs(store)
    _refuse(store, running, file, lambda settings: settings, also_what_needs_a_restart=True)
    held = store.current()
    with _environment(_of_the_node(running)):
        _, configuration = read_configuration(file)
    version = kept(store, configuration, who_runs_this(), act)
    before = store.before(version.number) if held is None else store.version(held)
    keys = [] if before is None else changes_between(before.configuration, version.configuration)
    store.point_at(version.number)
    try:
        took = _answers(store, running, version.number)
    except BaseException as error:
        if held is not None and held != version.number:
            store.refuse(version.number, str(error) or type(error).__name__)
            store.point_at(held)
        raise
    return Applied(version, keys, took)


def _nothing_runs(store: ConfigurationStore) -> NotAppliedError:
    return NotAppliedError(
        f"no process of a node runs with the data folder {store.folder.parent}: nothing was applied. The file "
        "holds from the next start; where a node runs with another data_dir, restart it"
    )


def _answers(store: ConfigurationStore, asked: Sequence[RunningProcess], number: int) -> list[str]:
    """Wait until each process has taken a version or is gone; return those that took it.

    Raises `NotAppliedError` where one of them refuses it, or does not answer in time.
    """
    end = time.monotonic() + ANSWER_S
    while True:
        there = {one.id: one for one in store.running()}
        asked_now = [there[one.id] for one in asked if one.id in there]
        refusals = {f"{one}: {one.refused[1]}" for one in asked_now if one.refused and one.refused[0] == number}
        if refusals:
            raise NotAppliedError(f"what held before holds; refused by {'; '.join(sorted(refusals))}")
        silent = [one for one in asked_now if one.version != number]
        if not silent:
            return [one.process for one in asked]
        if time.monotonic() > end:
            raise NotAppliedError(f"what held before holds; there is no answer of {', '.join(map(str, silent))}")
        time.sleep(_LOOK_S)


def changes_of(store: ConfigurationStore, running: Sequence[RunningProcess], file: Path | None) -> list[str]:
    """Return the keys that a file would change in the processes that run, each with its own variables."""
    changed: dict[str, None] = {}
    for environment in _environments(running):
        with _environment(environment):
            changed |= _changed_there(store, running, environment, read_configuration(file)[1])
    return list(changed)


def _refuse(
    store: ConfigurationStore,
    running: Sequence[RunningProcess],
    file: Path | None,
    in_use: Callable[[NodeSettings], NodeSettings],
    *,
    also_what_needs_a_restart: bool,
) -> None:
    """Raise an error where a process could not use a configuration, each with its own variables.

    in_use: returns settings with the files that they are to be judged by.
    """
    changed: dict[str, None] = {}
    for environment in _environments(running):
        with _environment(environment):
            settings, configuration = read_configuration(file)
            refuse_unusable(in_use(settings))
            refuse_unnamed_findings(in_use(settings))
            changed |= _changed_there(store, running, environment, configuration)
    if also_what_needs_a_restart:
        refuse_what_needs_a_restart(list(changed))


def _environments(running: Sequence[RunningProcess]) -> Sequence[Mapping[str, str]]:
    """Return the different variables that processes have; this one's where none runs."""
    found = {tuple(sorted(one.environment.items())) for one in running}
    return [dict(one) for one in sorted(found)] or [own_variables(os.environ)]


def _changed_there(
    store: ConfigurationStore,
    running: Sequence[RunningProcess],
    environment: Mapping[str, str],
    configuration: Configuration,
) -> dict[str, None]:
    """Return the keys that a configuration changes in processes with the variables that hold now."""
    changed: dict[str, None] = {}
    for number in {one.version for one in running if one.environment == environment}:
        theirs = in_this_process(store.version(number), read_settings(store.file_of(number)))
        changed |= dict.fromkeys(changes_between(theirs, configuration))
    return changed


def _of_the_node(running: Sequence[RunningProcess]) -> Mapping[str, str]:
    """Return the variables that count for the node as a whole: those of `serve`, or of the first process."""
    return next((one for one in running if one.process == SERVE), running[0]).environment


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let settings be read with the variables of another process. For a program of one thread."""
    own = own_variables(os.environ)
    _exchange(own, variables)
    try:
        yield
    finally:
        _exchange(variables, own)


def _exchange(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for name in before:
        del os.environ[name]
    os.environ.update(after)


@contextmanager
def _written(file: Path, configuration: Configuration) -> Iterator[None]:
    """Write what a version has into its files, each as a whole; where what follows fails they are as they were.

    A link is kept, and what it leads to is written. Each file keeps its mode and its owner.
    """
    wanted = {**{one.path: one.text for one in configuration.files}, file: configuration.text}  # it is written last
    before = {path: path.read_bytes() if path.exists() else None for path in wanted}
    try:
        for path, text in wanted.items():
            if before[path] != text.encode():
                _write(path, text.encode(), like=file)
        yield
    except BaseException:
        for path, content in reversed(before.items()):
            if content is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != content:
                _write(path, content, like=file)
        raise


def _write(path: Path, content: bytes, like: Path) -> None:
    target = path.resolve()
    found = (target if target.exists() else like).stat()
    try:
        replace_durably(target, content, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))
    except OSError as error:
        raise NotAppliedError(
            f"{target} cannot be written: {error.strerror}; give the command as a user who may write there"
        ) from error
