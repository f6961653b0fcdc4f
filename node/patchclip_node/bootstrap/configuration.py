"""The configuration of a process: read at its start, kept as a version, and followed while it runs.

A node has one configuration at a time: the version that its store points at. `config apply` lets another one hold, and
so does a process that starts with a changed file. Each process looks, judges by itself whether it can take it, says so
in the store, and takes it: the receiver in place, others by finishing what they hold and beginning again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Final

import structlog

from patchclip_core.errors import PatchClipError
from patchclip_core.io.vocabulary import load_vocabulary
from patchclip_core.values.definitions import load_findings
from patchclip_node.adapters.backups.restore import refuse_unfinished
from patchclip_node.adapters.configuration_store import ConfigurationStore, Registration
from patchclip_node.adapters.people import who_runs_this
from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.bootstrap import logging
from patchclip_node.bootstrap.access import refuse_open_secret
from patchclip_node.bootstrap.stopping import Stop, on_hangup, stop_on_signals
from patchclip_node.bootstrap.telemetry import with_sdk
from patchclip_node.dicom.tls import client_context, server_context
from patchclip_node.domain.configuration import Configuration, NamedFile, Person, Version
from patchclip_node.domain.errors import ConfigurationError, NodeError
from patchclip_node.services.outage import Outage, again_and_again
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.effective import changed_keys, concern, effective_values, needing_a_restart
from patchclip_node.settings.live import Process
from patchclip_node.settings.node import own_variables

LOOK_S: Final = 0.5
"""How often a process looks whether another version holds."""

NAMED_FILES: Final = ("findings_file", "radiographs_file")
"""Settings that name files which are part of the configuration: kept with it, and applied with it."""

SERVE: Final = "serve"

_DATA_DIR: Final = re.compile(r"""^data_dir:\s*["']?(?P<folder>[^"'#\n]*[^"'#\s])""", re.MULTILINE)
"""The line that names the data folder, in a file that is perhaps not YAML any more."""

_JOIN_S: Final = 10.0
"""How long a last look may take at the end."""

log = structlog.get_logger(__name__)


def read_configuration(file: Path | None) -> tuple[NodeSettings, Configuration]:
    """Read a file, what it names, and the environment. Raises `ConfigurationError`, which names each wrong key."""
    text = "" if file is None else _text_of(file)
    settings = read_settings(file)
    if file is not None and _text_of(file) != text:
        raise ConfigurationError(f"{file} was changed while it was read: try again")
    return settings, Configuration(
        None if file is None else file.absolute(), text, tuple(_named_files(settings)), dict(effective_values(settings))
    )


def store_of(file: Path | None) -> ConfigurationStore:
    """Return the store in the data folder that a configuration names, which may be wrong in all else."""
    try:
        return ConfigurationStore(read_settings(file).data_dir)
    except ConfigurationError:
        written = _DATA_DIR.search("" if file is None else _text_of(file))
        default = written["folder"] if written else str(NodeSettings.model_fields["data_dir"].default)
        return ConfigurationStore(Path(os.environ.get("PATCHCLIP_DATA_DIR") or default))


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # reading it as settings says what is wrong with it


def _named_files(settings: NodeSettings, copies: Sequence[NamedFile] = ()) -> Iterator[NamedFile]:
    """Yield what the settings name that can be read; a copy of the same file counts instead of what it is now."""
    for key in NAMED_FILES:
        path = getattr(settings, key)
        if path is None:
            continue
        copy = next((one for one in copies if (one.key, one.path) == (key, path.absolute())), None)
        if copy is not None:
            yield copy
        elif text := _text_of(path):
            yield NamedFile(key, path.absolute(), text)


def refuse_unusable(settings: NodeSettings) -> None:
    """Raise an error that names what cannot be used of what the settings name; it connects to nothing.

    `ConfigurationError` or a `PatchClipError`: an unknown finding, a file that is not there or holds no such thing.
    """
    findings = load_findings(settings.findings_file)
    settings.refuse_unknown_findings(findings)
    load_vocabulary(settings.radiographs_file)
    if settings.tls is not None:
        server_context(settings.tls.credentials)
    others = [settings.security_to(one) for one in settings.destinations]
    if settings.audit.collector is not None:
        others.append(settings.security_to_collector(settings.audit.collector))
    for security in others:
        if security is not None:
            client_context(security.credentials)
    if settings.telemetry.endpoint is not None:
        with_sdk()
    refuse_open_secret(settings)
    mail, webhook = settings.alerts.mail, settings.alerts.webhook
    if mail is not None and mail.password_file is not None:
        read_secret(mail.password_file, "alerts.mail.password_file")
    if webhook is not None and webhook.secret_file is not None:
        read_secret(webhook.secret_file, "alerts.webhook.secret_file")


def changes_between(before: Configuration, after: Configuration) -> list[str]:
    """Return the keys whose values differ, and those that name a file whose content does."""
    keys = changed_keys(before.effective, after.effective)
    texts = [{one.key: one.text for one in each.files} for each in (before, after)]
    return [*keys, *(key for key in NAMED_FILES if key not in keys and texts[0].get(key) != texts[1].get(key))]


def differing_files(before: Version | None, after: Version) -> list[str]:
    """Return what changed in the files that two versions name, as lines of a unified diff."""
    then, now = (
        {} if one is None else {file.key: file.text.splitlines() for file in one.configuration.files}
        for one in (before, after)
    )
    return [
        line
        for key in NAMED_FILES
        for line in unified_diff(then.get(key, []), now.get(key, []), key, key, n=2, lineterm="")
    ]


class NeedsRestartError(NodeError):
    """A change that no process takes up while it runs."""


def refuse_what_needs_a_restart(keys: Sequence[str]) -> None:
    """Raise `NeedsRestartError` where one of the keys cannot change while a process runs."""
    if stuck := needing_a_restart(keys):
        raise NeedsRestartError(f"needs a restart: {', '.join(stuck)}; nothing was applied")


def kept(store: ConfigurationStore, configuration: Configuration, who: Person, act: str) -> Version:
    """Return the last version where it is the same, or differs in variables that another process has; else keep one.

    To be called while the store is locked.
    """
    numbers = store.numbers()
    for number in reversed(numbers):
        version = store.version(number)
        if version.configuration.written != configuration.written or version.refused:
            break
        if version.configuration.digest == configuration.digest:
            return store.version(numbers[-1])
    return store.keep(configuration, who, act)


@dataclass(frozen=True, slots=True)
class Started:
    """What a process begins with. version: of its configuration. source: the file that the version came from."""

    store: ConfigurationStore
    version: Version
    written: Configuration
    settings: NodeSettings


def start(process: str, file: Path | None) -> Started:
    """Read the configuration of a process that begins, keep it where it is new, and let it hold.

    A version's own file, which `serve` gives its processes, is that version. Raises `ConfigurationError`.
    """
    settings, configuration = read_configuration(file)
    refuse_unfinished(settings.data_dir)
    store = ConfigurationStore(settings.data_dir)
    number = store.number_of(file)
    if number is not None:
        version = store.version(number)
        written = in_this_process(version, settings)
    else:
        version, written = _kept_at_start(store, configuration, process), configuration
    return Started(store, version, written, with_kept_files(store, version, settings))


def _kept_at_start(store: ConfigurationStore, configuration: Configuration, process: str) -> Version:
    """Keep the configuration where it is new, and let it hold. Nothing is written where nothing is new."""
    try:
        store.prepare()
        with store.locked():
            version = kept(store, configuration, who_runs_this(), f"start of {process}")
            if store.current() != version.number:
                store.point_at(version.number)
            return version
    except OSError as error:
        raise ConfigurationError(
            f"data_dir: the configuration can't be kept in {store.folder}: {error.strerror}. Free space there, or name "
            "a folder that this user may write to"
        ) from error


def in_this_process(version: Version, settings: NodeSettings) -> Configuration:
    """Return a version as it comes out with the variables that this process has."""
    of = version.configuration
    return Configuration(of.source, of.text, tuple(_named_files(settings, of.files)), dict(effective_values(settings)))


def with_kept_files(store: ConfigurationStore, version: Version, settings: NodeSettings) -> NodeSettings:
    """Return the settings with the version's own copies of the files that they name: those may be edited any time."""
    copies = {
        one.key: store.named_file(version.number, one.key)
        for one in version.configuration.files
        if getattr(settings, one.key) is not None and getattr(settings, one.key).absolute() == one.path
    }
    return settings.model_copy(update=copies)


class Follower:
    """Looks whether another version holds, and has it taken where this process can."""

    def __init__(
        self,
        process: str,
        started: Started,
        take: Callable[[NodeSettings], None],
        refuse: Callable[[NodeSettings], None] = lambda _settings: None,
    ) -> None:
        """take: lets settings hold that concern this process. refuse: raises where this process cannot use them."""
        self._process = process
        self._store = started.store
        self._written = started.written
        self._take = take
        self._refuse = refuse
        self._refused: tuple[int, str] | None = None
        self.number = started.version.number
        self.source = started.version.configuration.source
        self._registration: Registration = self._store.register(process, own_variables(os.environ), self.number)
        self._cannot_look = Outage("configuration")
        version = started.version
        log.info("configuration_in_use", version=self.number, since=version.at.isoformat(), by=str(version.who))

    @property
    def file(self) -> Path:
        """The configuration file of the version that this process runs with, or goes over to."""
        return self._store.file_of(self.number)

    def look(self) -> None:
        """Take the version that holds now, or say why not, once. A folder that cannot be read is logged, once."""
        try:
            self._look()
        except OSError as error:
            self._cannot_look.begin(error)
        else:
            self._cannot_look.end()

    def _look(self) -> None:
        number = self._store.current()
        if number is None or number == self.number:
            if self._refused is not None:  # what could not be taken does not hold any more
                self._say(self.number)
            return
        if self._refused is not None and self._refused[0] == number:
            return
        try:
            self._go_over_to(self._store.version(number))
        except (NodeError, PatchClipError, OSError) as error:
            log.error("configuration_not_applied", version=number, error=str(error))
            self._say(self.number, (number, str(error)))

    def close(self) -> None:
        """Say that this process ends."""
        self._registration.close()

    def _go_over_to(self, version: Version) -> None:
        settings = read_settings(self._store.file_of(version.number))
        written = in_this_process(version, settings)
        keys = changes_between(self._written, written)
        refuse_what_needs_a_restart(keys)
        in_use = with_kept_files(self._store, version, settings)
        concerned = self._process == SERVE or concern(keys, self._process)
        if concerned:
            refuse_unusable(in_use)
            self._refuse(in_use)
        before, self.number = self.number, version.number
        try:
            if concerned:
                self._take(in_use)
        except (NodeError, PatchClipError, OSError):
            self.number = before
            raise
        self._written, self.source = written, version.configuration.source
        log.info("configuration_applied", version=version.number, keys=keys, by=str(version.who), took=concerned)
        self._say(version.number)

    def _say(self, number: int, refused: tuple[int, str] | None = None) -> None:
        self._refused = refused
        self._registration.say(number, refused)


@contextmanager
def following(follower: Follower, stop: Stop) -> Iterator[Follower]:
    """Follow the configuration in another thread, for the time of the context; SIGHUP has the file applied."""
    on_hangup(lambda: apply_by_command(follower.source))
    thread = threading.Thread(
        target=again_and_again, args=(follower.look, stop, LOOK_S, "configuration"), name="configuration", daemon=True
    )
    thread.start()
    try:
        yield follower
    finally:
        thread.join(_JOIN_S)
        follower.close()


def run_again_and_again(
    process: Process,
    file: Path | None,
    run: Callable[[Started, Stop], None],
    refuse: Callable[[NodeSettings], None] = lambda _settings: None,
) -> None:
    """Run a process that takes a change by beginning again: it finishes what it holds, and is replaced in its place.

    Its process id stays, so that whoever supervises it sees one process that runs on. SIGTERM and SIGINT end it.
    refuse: raises where this process cannot use settings.
    """
    started, stop = start(process, file), stop_on_signals()
    logging.configure(started.settings.log, process)
    follower = Follower(process, started, lambda _settings: stop.set(), refuse)
    with following(follower, stop):
        run(started, stop)
    if stop.is_set() and not stop.is_final and follower.number != started.version.number:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, command_of(process, follower.file))  # noqa: S606 - this program, with its own version


def command_of(process: str, file: Path | None) -> list[str]:
    """Return the command that starts a process with a configuration file."""
    command = [sys.executable, "-m", "patchclip_node", process]
    return command if file is None else [*command, "--config", str(file)]


def apply_by_command(source: Path | None) -> None:
    """Have the configuration file applied as a person at a shell does, and log how that ended."""
    command = [sys.executable, "-m", "patchclip_node", "config", "apply"]
    if source is not None:
        command += ["--config", str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    said = " ".join((ended.stdout if ended.returncode == 0 else ended.stderr).split())
    if ended.returncode == 0:
        log.info("applied_on_signal", said=said)
    else:
        log.error("not_applied_on_signal", status=ended.returncode, said=said)
