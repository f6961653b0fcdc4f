"""First-class fakes of the ports. They pass the same contract tests as the adapters they stand for.

There is no fake ledger: `SqlLedger` on a temporary SQLite file is fast, and its rules are the thing to be tested.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.errors import PeerError, RetryableError, StorageFullError
from patchclip_node.domain.records import InstanceHeader, NewResult, Priority, ReceivedInstance
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.audit import AuditLane, Tell
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.ports.spool import Room, StoredFile
from patchclip_node.ports.task_queue import Work

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
"""When the time of a `FakeClock` begins."""


class FakeClock:
    """Stands still until it is told to advance."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        self._now += timedelta(seconds=seconds)
        return self._now


class MemorySpool:
    """Keeps stored files in memory; `folder` holds what must be a real file for a while."""

    def __init__(self, folder: Path, room_bytes: int = 2**40) -> None:
        self.files: dict[str, bytes] = {}
        self.room_bytes = room_bytes
        self._incoming = folder / "incoming"
        self._lent = folder / "lent"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._lent.mkdir(parents=True, exist_ok=True)

    def incoming_dir(self) -> Path:
        return self._incoming

    def adopt(self, path: Path, sha256: str | None = None) -> StoredFile:
        stored = self.write([path.read_bytes()])
        path.unlink()
        return stored

    def write(self, chunks: Iterable[bytes]) -> StoredFile:
        content = b"".join(chunks)
        if len(content) > self.room_bytes:
            raise StorageFullError("no room in the memory spool")
        self.room_bytes -= len(content)
        key = uuid.uuid4().hex
        self.files[key] = content
        return StoredFile(key, len(content), hashlib.sha256(content).hexdigest())

    @contextmanager
    def reserved(self, size_bytes: int) -> Iterator[Room]:
        if size_bytes > self.room_bytes:
            raise StorageFullError("no room in the memory spool")
        yield self

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        if key not in self.files:
            raise FileNotFoundError(key)
        path = self._lent / uuid.uuid4().hex / key  # lent to several at once perhaps
        path.parent.mkdir()
        path.write_bytes(self.files[key])
        try:
            yield path
        finally:
            path.unlink()

    def holds(self, key: str) -> bool:
        return key in self.files

    def trouble(self) -> str:
        return ""

    def delete(self, key: str) -> None:
        self.room_bytes += len(self.files.pop(key, b""))

    def discard_unfinished(self, before: datetime) -> int:
        old = [path for path in self._incoming.iterdir() if path.stat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink()
        return len(old)

    def free_bytes(self) -> int:
        return self.room_bytes


@dataclass
class FakeQueue:
    """Remembers who was woken. `down` makes the broker fail."""

    woken: list[Work] = field(default_factory=list)
    down: bool = False

    def wake(self, work: Work) -> None:
        if self.down:
            raise RetryableError("the broker does not answer")
        self.woken.append(work)


@dataclass
class FakeSender:
    """Takes files like a storage SCP. What a destination does not take is listed by file content in `errors`."""

    received: list[tuple[str, bytes]] = field(default_factory=list)
    """(name of the destination, bytes), in the order of sending."""
    associations: list[str] = field(default_factory=list)
    """Name of the destination of each association."""
    unreachable: set[str] = field(default_factory=set)
    """Names of destinations that do not answer."""
    asked: list[CommitmentRequest] = field(default_factory=list)
    """What was to be committed to."""
    answer: Callable[[CommitmentRequest], CommitmentReport | None] = lambda _: None
    """What is reported at once, over the association that asked."""
    errors: dict[bytes, SendOutcome] = field(default_factory=dict)
    """content -> outcome; its path is replaced."""

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        self.echo(destination)
        self.associations.append(destination.name)
        outcomes = []
        for path in paths:
            content = path.read_bytes()
            wanted = self.errors.get(content)
            if wanted is None:
                self.received.append((destination.name, content))
                outcomes.append(SendOutcome(path, None))
            else:
                outcomes.append(replace(wanted, path=path))
        return outcomes

    def request_commitment(
        self,
        destination: Destination,
        request: CommitmentRequest,
        report: Callable[[CommitmentReport], None],
        settled: Callable[[], bool],
    ) -> None:
        self.echo(destination)
        self.asked.append(request)
        if (answer := self.answer(request)) is not None:
            report(answer)

    def check_confirmation(self, destination: Destination) -> None:
        self.echo(destination)

    def echo(self, destination: Destination) -> None:
        if destination.name in self.unreachable:
            raise PeerError(f"{destination.name} does not answer")


def make_ledger(folder: Path) -> SqlLedger:
    """Return a ledger in a new SQLite file in `folder`, with all its tables."""
    (folder / "ledger.sqlite").write_bytes(_new_ledger())
    return SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}")


@cache
def _new_ledger() -> bytes:
    """Return the content of a new ledger's file. The migrations are tested elsewhere."""
    with TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/ledger.sqlite")
        return (Path(folder) / "ledger.sqlite").read_bytes()


def waiting(ledger: SqlLedger) -> dict[AuditLane, int]:
    """Return how many events each lane of the audit trail has not carried."""
    return {one.lane: one.waiting for one in ledger.audit.backlogs()}


def told_at_once(ledger: SqlLedger) -> Tell:
    """Return what takes events of the pages, without a ration, and records each before it returns."""

    def tell(event: AuditEvent, _what: str = "", _who: str = "") -> bool:
        ledger.audit.record(event)
        return True

    return tell


def make_instance(
    study_instance_uid: str = "1.2.3",
    number: int = 1,
    *,
    received_at: datetime = START,
    sha256: str | None = None,
    spool_key: str | None = None,
    priority: Priority = Priority.ROUTINE,
    issued_by_product: bool = False,
    sop_instance_uid: str | None = None,
    patient_id: str = "PAT-1",
    patient_name: str = "Doe^Jane",
    has_file: bool = True,
) -> ReceivedInstance:
    """Return the `number`-th image of a study; other bytes each time unless `sha256` says which.

    An own result that came back has no file.
    """
    header = InstanceHeader(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        sop_instance_uid=sop_instance_uid or f"{study_instance_uid}.1.{number}",
        study_instance_uid=study_instance_uid,
        series_instance_uid=f"{study_instance_uid}.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="DX",
        patient_id=patient_id,
        patient_name=patient_name,
        accession_number="A-1",
        study_description="Chest",
        priority=priority,
        issued_by_product=issued_by_product,
    )
    return ReceivedInstance(
        header=header,
        spool_key=(spool_key or uuid.uuid4().hex) if has_file else None,
        size_bytes=1000,
        sha256=sha256 or uuid.uuid4().hex * 2,
        received_at=received_at,
        calling_ae_title="MODALITY",
        called_ae_title="PATCHCLIP",
        peer_address="127.0.0.1",
    )


def make_result(
    sop_instance_uid: str, kind: ResultKind = ResultKind.SR, spool_key: str | None = None, variant: str | None = None
) -> NewResult:
    """Return a result as the analysis hands it to the ledger; without a variant, the usual one of its kind."""
    return NewResult(
        kind=kind,
        variant=variant or kind.value,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
        sop_instance_uid=sop_instance_uid,
        series_instance_uid="1.2.3.99",
        spool_key=spool_key or uuid.uuid4().hex,
        size_bytes=10,
        sha256="0" * 64,
    )
