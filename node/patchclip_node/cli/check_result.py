"""What a check of `doctor` says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from patchclip_node.settings import NodeSettings


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, what was found, and what to do where it is not well."""

    name: str
    status: Status
    detail: str
    advice: str = ""


Check = Callable[[NodeSettings], Iterable[CheckResult]]
