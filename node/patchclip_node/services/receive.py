"""An instance arrives: checked, made durable, recorded; only then may it be acknowledged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.dicom.storage import MADE_SOP_CLASSES, READERS_SOP_CLASSES, RESULT_SOP_CLASSES
from patchclip_node.domain.errors import (
    DatasetMismatchError,
    ForeignResultError,
    InstanceTooLargeError,
    LedgerCommitUnknownError,
    SpoolUnavailableError,
)
from patchclip_node.domain.records import Arrival, InstanceHeader, ReceivedInstance
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Arrivals
from patchclip_node.ports.spool import Spool
from patchclip_node.services.backlog import BacklogGate
from patchclip_node.services.urgency import UrgencyQuota

WAITS: Final = "an object of a reader: it waits to be read"
"""What is said of such an object before it is read."""

log = structlog.get_logger(__name__)


class ReceiveService:
    """Takes in one file after another; may be called from several threads."""

    def __init__(
        self,
        spool: Spool,
        arrivals: Arrivals,
        clock: Clock,
        read_header: Callable[[Path], InstanceHeader],
        max_instance_bytes: int,
        urgency: UrgencyQuota,
        backlog: BacklogGate | None = None,
        *,
        images_alone: bool = False,
    ) -> None:
        """backlog: refuses images of new studies while too many wait; None: it takes them however many wait.

        images_alone: objects of readers are refused, whatever study they are of.
        """
        self._images_alone = images_alone
        self._spool = spool
        self._arrivals = arrivals
        self._clock = clock
        self._read_header = read_header
        self._max_instance_bytes = max_instance_bytes
        self._urgency = urgency
        self._backlog = backlog

    def receive(
        self,
        path: Path,
        calling_ae_title: str,
        called_ae_title: str,
        peer_address: str,
        expected_sop_class_uid: str | None,
        expected_sop_instance_uid: str | None,
        sha256: str | None = None,
    ) -> Arrival:
        """Keep the complete DICOM file at `path`, which lies in the spool's `incoming_dir`; return once it is durable.

        The file is used up: afterwards it is in the spool or gone, whatever happens. Of an own result that comes back
        only a row in the ledger is kept. `expected_*`: what the C-STORE request announced (PS3.7 9.3.1.1), None where
        nothing did. sha256: the digest of the file's bytes, where they were seen; None: it is taken here.

        Raises, with PS3.4 B.2.3's status that tells the sender so:

        - `InstanceTooLargeError`: more bytes than are taken (0xA700, out of resources);
        - `UnreadableInstanceError`: no DICOM instance that can be understood (0xC000, cannot understand);
        - `ForeignResultError`: a report or the like of a study that is not here (0x0122, SOP class not supported);
        - `DatasetMismatchError`: not the instance that was announced (0xA900, data set does not match SOP class);
        - `RetryableError`: no room, too many studies that wait, or a ledger that does not answer (0xA700); the sender
          tries again.
        """
        try:
            size_bytes = path.stat().st_size
            if size_bytes > self._max_instance_bytes:
                raise InstanceTooLargeError(
                    f"the instance has {size_bytes} bytes; limits.max_instance_bytes allows {self._max_instance_bytes}"
                )
            header = self._urgency.applied(self._read_header(path), peer_address)
            _check_announced("SOP Class UID", expected_sop_class_uid, header.sop_class_uid)
            _check_announced("SOP Instance UID", expected_sop_instance_uid, header.sop_instance_uid)
            is_own = self._is_own(header)
            of_a_reader = not is_own and self._is_of_a_reader(header)
            if self._backlog is not None and not (is_own or of_a_reader):
                self._backlog.check(header)
            digest = sha256 or _sha256(path)
            stored = None if is_own else self._spool.adopt(path, digest)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if stored is None:
            path.unlink(missing_ok=True)
        instance = ReceivedInstance(
            header=header,
            spool_key=stored.key if stored else None,
            size_bytes=stored.size_bytes if stored else size_bytes,
            sha256=digest,
            received_at=self._clock.now(),
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            peer_address=peer_address,
        )
        arrival = self._record(instance, of_a_reader=of_a_reader)
        log.info(
            "instance_received",
            arrival=arrival.value,
            study_instance_uid=header.study_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
            modality=header.modality,
            size_bytes=size_bytes,
            calling_ae_title=calling_ae_title,
            peer_address=peer_address,
        )
        return arrival

    def _is_own(self, header: InstanceHeader) -> bool:
        """Tell whether it is a result that came back, of which nothing but that is kept.

        What this ledger issued is; an object of a class that is made and not analysed is where it names this product.
        """
        if header.sop_class_uid not in MADE_SOP_CLASSES:
            return False
        if self._arrivals.issued(header.sop_instance_uid):
            return True
        if header.sop_class_uid not in RESULT_SOP_CLASSES:
            return False
        return header.issued_by_product

    def _is_of_a_reader(self, header: InstanceHeader) -> bool:
        """Tell whether it is what a reader made in a viewer: kept where the study is here, refused where it is not."""
        if header.sop_class_uid not in READERS_SOP_CLASSES:
            return False
        if self._images_alone:
            raise ForeignResultError("this node hands images on and reads no objects of readers")
        if not self._arrivals.knows(header.study_instance_uid):
            name = READERS_SOP_CLASSES[header.sop_class_uid]
            raise ForeignResultError(f"a {name} is taken of studies that this node has, and this study is not here")
        return True

    def _record(self, instance: ReceivedInstance, *, of_a_reader: bool) -> Arrival:
        try:
            arrival = (
                self._arrivals.record_returned(instance, WAITS) if of_a_reader else self._arrivals.record(instance)
            )
        except LedgerCommitUnknownError:
            raise  # the ledger may well remember this file: it stays
        except BaseException:
            self._forget(instance.spool_key)
            raise
        if arrival is Arrival.DUPLICATE:
            self._forget(instance.spool_key)  # the first copy is the one that the ledger knows
        return arrival

    def _forget(self, spool_key: str | None) -> None:
        """Delete a file that the ledger does not know. What has been settled is not undone where that fails."""
        if spool_key is None:
            return
        try:
            self._spool.delete(spool_key)
        except SpoolUnavailableError as error:
            log.warning("file_not_deleted", spool_key=spool_key, error=str(error))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_announced(what: str, announced: str | None, actual: str) -> None:
    if announced is not None and announced != actual:
        raise DatasetMismatchError(f"the data set's {what} is {actual!r}, the C-STORE request announced {announced!r}")
