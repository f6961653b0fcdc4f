"""What `doctor` tries of the spool's store: an object is written, read and deleted as the node does it."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from typing import Any, Final

from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.domain.errors import DamagedFileError, SpoolUnavailableError
from patchclip_node.settings import NodeSettings

_PROBE: Final = b"written by `patchclip-node doctor`, and to be deleted"
_NAME: Final = "spool store"


def spool_store(settings: NodeSettings) -> Iterator[CheckResult]:
    """Objects can be written, are found whole, are not written over, and can be deleted."""
    if settings.spool.url is None:
        yield CheckResult(_NAME, Status.OK, "a folder below the data folder; no store is needed")
        return
    from patchclip_node.bootstrap.common import s3_place, with_s3

    s3 = with_s3()
    store = s3.S3Store(s3_place(settings))
    name = f"doctor-{uuid.uuid4().hex}"
    try:
        store.ask()
        try:
            yield from _tried(store, name, conditional=settings.spool.conditional_create)
        finally:
            store.delete(name)
    except s3.ConditionRefusedError as error:
        advice = (
            "set spool.conditional_create: false; keys are random, so that none meets another; images are refused with "
            "0xA700 meanwhile"
        )
        yield CheckResult(_NAME, Status.FAIL, str(error), advice)
    except (SpoolUnavailableError, DamagedFileError) as error:
        advice = (
            "start the store, or correct `spool`; its user needs s3:ListBucket on the bucket and s3:GetObject, "
            "s3:PutObject and s3:DeleteObject below the prefix; images are refused with 0xA700 meanwhile"
        )
        yield CheckResult(_NAME, Status.FAIL, str(error), advice)


def _tried(store: Any, name: str, *, conditional: bool) -> Iterator[CheckResult]:
    stored = _facts()
    store.create(name, io.BytesIO(_PROBE), stored)
    with store.opened(name) as (_, chunks):
        if b"".join(chunks) != _PROBE:
            raise DamagedFileError(f"{store} gave other bytes than it was sent")
    detail = f"{store} takes, gives and deletes objects"
    if conditional and _is_written_over(store, name):
        advice = (
            "nothing to do: keys are random, so that none meets another; a newer version of the store may honour it"
        )
        yield CheckResult(_NAME, Status.WARN, f"{detail}; it ignores If-None-Match", advice)
    else:
        yield CheckResult(_NAME, Status.OK, detail)


def _facts() -> Any:
    """Return what the probe says of its content."""
    from patchclip_node.adapters.s3.store import Stored

    return Stored(hashlib.sha256(_PROBE).hexdigest(), len(_PROBE))


def _is_written_over(store: Any, name: str) -> bool:
    from patchclip_node.adapters.s3.store import KeyTakenError

    try:
        store.create(name, io.BytesIO(_PROBE), _facts())
    except KeyTakenError:
        return False
    return True
