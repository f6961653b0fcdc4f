"""How many instances and leases a second the ledger and the spool take, with everything durable.

    python benchmarks/ledger.py [URL]

Without a URL: SQLite in a temporary folder of the current directory, so that a real disk is measured and not /tmp.
Prints figures as Markdown; takes a few seconds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.domain.records import FinishedAnalysis, InstanceHeader, NewResult, ReceivedInstance
from patchclip_node.domain.variants import ResultKind

STUDIES = 200
FILES = 20
FILE_BYTES = 10 * 1024**2
THREADS = 8


def instance(study_instance_uid: str) -> ReceivedInstance:
    """Return a new image of a study."""
    header = InstanceHeader(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        sop_instance_uid=f"2.25.{uuid.uuid4().int}",
        study_instance_uid=study_instance_uid,
        series_instance_uid=f"{study_instance_uid}.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    key = uuid.uuid4().hex
    return ReceivedInstance(header, key, FILE_BYTES, key * 2, datetime.now(UTC), "BENCHMARK", "PATCHCLIP", "127.0.0.1")


def measure_ledger(ledger: SqlLedger) -> None:
    """Print the ledger's figures, one study with one image and one result at a time."""
    run = uuid.uuid4().int
    arriving = [instance(f"2.25.{run}.{number}") for number in range(2 * STUDIES)]
    report("arrivals.record", STUDIES, lambda: [ledger.arrivals.record(one) for one in arriving[:STUDIES]])
    with ThreadPoolExecutor(THREADS) as threads:
        report(
            f"arrivals.record, {THREADS} threads",
            STUDIES,
            lambda: list(threads.map(ledger.arrivals.record, arriving[STUDIES:])),
        )
    ledger.arrivals.close_quiet(datetime.now(UTC), 0)
    report("analyses.lease + finish", STUDIES, lambda: analyse(ledger))
    report("deliveries.lease + confirm", STUDIES, lambda: deliver(ledger))
    report("workload.due", 200, lambda: [ledger.workload.due(datetime.now(UTC)) for _ in range(200)])


def analyse(ledger: SqlLedger) -> None:
    """Lease and finish STUDIES studies."""
    for _ in range(STUDIES):
        leased = ledger.analyses.lease(datetime.now(UTC), "benchmark", 60)
        assert leased is not None
        uid, key = f"2.25.{uuid.uuid4().int}", uuid.uuid4().hex
        result = NewResult(ResultKind.SR, "sr", "1.2.840.10008.5.1.4.1.1.88.33", uid, f"{uid}.1", key, 1, key * 2)
        ledger.analyses.finish(
            leased.study.id, "benchmark", datetime.now(UTC), FinishedAnalysis([result], {"pacs": [uid]}, {}, "{}")
        )


def deliver(ledger: SqlLedger) -> None:
    """Lease and confirm STUDIES deliveries."""
    for _ in range(STUDIES):
        lease = ledger.deliveries.lease(datetime.now(UTC), "benchmark", 60, ["pacs"])
        assert lease is not None
        for delivery in lease.deliveries:
            ledger.deliveries.confirm(delivery.id, "benchmark", datetime.now(UTC))


def measure_spool(folder: Path) -> None:
    """Print what it costs to make 10 MB files durable, beside writing them at all."""
    spool = FileSpool(folder, 0)
    content = os.urandom(FILE_BYTES)
    paths = [spool.incoming_dir() / str(number) for number in range(FILES)]
    report("write 10 MB, not durable", FILES, lambda: [path.write_bytes(content) for path in paths], FILE_BYTES)
    report("adopt 10 MB (SHA-256, fsync)", FILES, lambda: [spool.adopt(path) for path in paths], FILE_BYTES)
    synced = [folder / f"synced-{number}" for number in range(FILES)]
    for path in synced:
        path.write_bytes(content)
    report("fsync 10 MB alone", FILES, lambda: fsync(synced), FILE_BYTES)


def fsync(paths: Sequence[Path]) -> None:
    """Do what any durable receiver has to do at least."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def report(what: str, times: int, run: Callable[[], object], size_bytes: int = 0) -> None:
    """Run and print one row."""
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    rate = f"{times * size_bytes / seconds / 1e6:.0f} MB/s" if size_bytes else f"{times / seconds:.0f}/s"
    print(f"| {what} | {seconds / times * 1000:.2f} ms | {rate} |", flush=True)


def main() -> None:
    """Measure a new ledger and a new spool."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder / 'ledger.sqlite'}"
        migrate(url)
        ledger = SqlLedger(url)
        print("| what | each | rate |\n|---|---|---|")
        measure_ledger(ledger)
        ledger.close()
        measure_spool(folder / "spool")


if __name__ == "__main__":
    main()
