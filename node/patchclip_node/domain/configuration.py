"""Versions of a node's configuration: what was run with, since when, and who wanted it so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Person:
    """Who gave a command. name: of the login. user: whom its process runs as, which sudo may have made another."""

    name: str
    user: str

    def __str__(self) -> str:
        return self.name if self.name == self.user else f"{self.name} as {self.user}"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that the configuration names and the node reads as part of it. key: of the setting that names it."""

    key: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a node runs with.

    source: the file it was read from; None: there is none, the environment and the defaults hold. text: of that file.
    effective: dotted key -> value of every setting, the environment's included, passwords as they are.
    """

    source: Path | None
    text: str
    files: tuple[NamedFile, ...]
    effective: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of all that it comes to, in hexadecimal digits."""
        texts = {one.key: one.text for one in self.files}
        return hashlib.sha256(json.dumps([self.effective, texts], sort_keys=True).encode()).hexdigest()

    @property
    def written(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What stands in its files; variables of the environment apart."""
        return self.text, tuple((one.key, one.text) for one in self.files)


@dataclass(frozen=True, slots=True)
class Version:
    """A configuration that was kept.

    at: UTC. act: how it came, such as `apply`. refused: why it does not hold, though it was to; '' where it did.
    """

    number: int
    at: datetime
    who: Person
    act: str
    configuration: Configuration
    refused: str = ""


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process of the node that runs now, as it says itself.

    id: no other has or had it. started: version that it began with. version: it runs with, or goes over to. refused: a
    later one that it does not take, and why. environment: variables of the node that it was started with.
    """

    id: str
    process: str
    host: str
    pid: int
    started: int
    version: int
    refused: tuple[int, str] | None
    environment: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.process} ({self.host}, process {self.pid})"
