"""What is made of a study goes into the spool as soon as it is made, several files at a time.

Each file waits for the disk, or for a store far away; meanwhile the next one is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from pydicom import Dataset

from patchclip_node.domain.errors import SpoolUnavailableError
from patchclip_node.domain.records import NewResult
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.ports.spool import Room, Spool, StoredFile
from patchclip_node.results import encode
from patchclip_node.services.analyse.images import Taker
from patchclip_node.services.analyse.maps import encode_maps
from patchclip_node.services.analyse.outcome import AnalysedFile

_AT_ONCE: Final = 4
"""A disk's journal writes several files with one commit; a study of one image has two or three, by default."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """What the spool holds of a study. maps: SOP Instance UID of an image -> key; keys: of all files."""

    results: tuple[tuple[ResultVariant, NewResult], ...]
    maps: Mapping[str, str]
    keys: tuple[str, ...]


class Keeping(Taker):
    """Begins to write what it is given."""

    def __init__(self, room: Room, threads: ThreadPoolExecutor) -> None:
        self._room = room
        self._threads = threads
        self._results: list[tuple[ResultVariant, Dataset, Future[StoredFile]]] = []
        self._maps: dict[str, Future[StoredFile]] = {}

    def drawn(self, file: AnalysedFile) -> None:
        """Keep what was found, of which pages show maps, and pictures are drawn where someone asks for one."""
        self._maps[file.image.sop_instance_uid] = self._begin(partial(encode_maps, file.result.findings))

    def built(self, variant: ResultVariant, dataset: Dataset) -> None:
        """Keep a result."""
        self._results.append((variant, dataset, self._begin(partial(encode, dataset))))

    def _begin(self, content: Callable[[], bytes]) -> Future[StoredFile]:
        return self._threads.submit(lambda: self._room.write([content()]))

    @property
    def begun(self) -> list[Future[StoredFile]]:
        """All that is being written, or was."""
        return [*self._maps.values(), *(file for _, _, file in self._results)]

    def files(self) -> KeptFiles:
        """Wait until all is durable. Raises what the first raised that could not be written."""
        keys = tuple(file.result().key for file in self.begun)
        results = tuple(
            (variant, new_result(variant, dataset, file.result())) for variant, dataset, file in self._results
        )
        return KeptFiles(results, {uid: file.result().key for uid, file in self._maps.items()}, keys)


@contextmanager
def keeping(room: Room, spool: Spool) -> Iterator[Keeping]:
    """Keep what is given in the context; where that ends in an error, no file is left."""
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="keeping")
    kept = Keeping(room, threads)
    try:
        with threads:
            yield kept
    except BaseException:
        delete((file.result().key for file in kept.begun if file.exception() is None), spool)
        raise


def delete(keys: Iterable[str], spool: Spool) -> None:
    """Delete what the ledger does not name. What a store that is away still holds the spool deletes by itself later."""
    for key in keys:
        try:
            spool.delete(key)
        except SpoolUnavailableError as error:
            log.warning("file_not_deleted", spool_key=key, error=str(error))


def new_result(variant: ResultVariant, dataset: Dataset, stored: StoredFile) -> NewResult:
    """Return what the ledger keeps of a result that was built and stored."""
    return NewResult(
        kind=variant.kind,
        variant=variant.key,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        spool_key=stored.key,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
    )


__all__ = ["Keeping", "KeptFiles", "delete", "keeping", "new_result"]
