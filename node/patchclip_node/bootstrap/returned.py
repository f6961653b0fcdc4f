"""Objects of readers are read by a process that may be killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patchclip_core.io import limited_child
from patchclip_node.bootstrap.decoding import decode_limits
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.returned import ReadObject, Statement
from patchclip_node.domain.verdicts import Box
from patchclip_node.services.returned import ReadFile
from patchclip_node.settings import LimitSettings


def reader(limits: LimitSettings) -> ReadFile:
    """Return what reads an object and the images that it may speak of, within the limits of the settings."""

    def read(path: Path, images: Sequence[Path]) -> ReadObject:
        arguments = (str(path), *map(str, images))
        with limited_child.start("patchclip_node.rendering.statements", decode_limits(limits), arguments) as process:
            try:
                said, _ = process.communicate(timeout=limits.decode_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise UnreadableInstanceError(
                    f"reading it took longer than limits.decode_timeout_s ({limits.decode_timeout_s:g} s)"
                ) from None
        try:
            answer: dict[str, Any] = json.loads(said)
        except ValueError:
            how = limited_child.how_it_ended(process)
            raise UnreadableInstanceError(f"the process that read it ended without an answer ({how})") from None
        if "error" in answer:
            raise UnreadableInstanceError(answer["error"])
        return _read_object(answer)

    return read


def _read_object(answer: Mapping[str, Any]) -> ReadObject:
    return ReadObject(
        tuple(_statement(one) for one in answer["statements"]),
        frozenset(answer["refers_to"]),
        (answer["title"][0], answer["title"][1]),
        answer["by"],
        tuple(answer["unclear"]),
    )


def _statement(one: Mapping[str, Any]) -> Statement:
    return Statement(
        one["sop_instance_uid"],
        (one["code"][0], one["code"][1]),
        one["name"],
        one["is_there"],
        tuple(Box(**box) for box in one["boxes"]),
    )
