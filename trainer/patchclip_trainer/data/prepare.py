"""The way from a source folder to prepared data: list, hash, split, decode, check boxes, describe."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, DecodingProcess
from patchclip_core.io.polarity import EXCHANGED
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import fit
from patchclip_core.values.results import PatchGrid, Radiograph
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.boxes import check_boxes
from patchclip_trainer.data.data_sheet import as_markdown, data_sheet
from patchclip_trainer.data.duplicates import near_duplicates
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains
from patchclip_trainer.data.manifest import ImageRow, Manifest, Problem
from patchclip_trainer.data.persons import with_references, with_same_exposures
from patchclip_trainer.data.pseudonyms import PUBLIC_KEY, pseudonymised, secret_key
from patchclip_trainer.data.shards import (
    PROBLEMS,
    Decoded,
    Refused,
    ShardWriter,
    SourceSize,
    write_atomically,
)
from patchclip_trainer.data.splits import SplitShares, with_splits
from patchclip_trainer.data.stores import StoreKind
from patchclip_trainer.errors import DataError

SHARD_IMAGES = 256
_PITCH_PX = 32


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of a preparation. problems: with their true places; `private`: where what identifies was put."""

    images: int
    problems: tuple[Problem, ...]
    sheet: dict[str, Any]
    private: Path | None


def prepare_settings(input_px: int) -> PreprocessSettings:
    """Return the node's preprocessing at this input size, with a patch each 32 px for want of a model's own grid."""
    side = max(1, input_px // _PITCH_PX)
    return PreprocessSettings(input_px=input_px, grid=PatchGrid(side, side, _PITCH_PX, _PITCH_PX / 2))


def prepare(
    source: Path,
    out: Path,
    adapter: Adapter,
    settings: PreprocessSettings,
    *,
    key_file: Path | None = None,
    shares: SplitShares = SplitShares(),  # noqa: B008 - a frozen value
    workers: int = 2,
    limits: DecodeLimits | None = None,
    domains: LabelDomains | None = None,
    references: Mapping[str, str] | None = None,
    store: StoreKind = "mapped",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Prepared:
    """Prepare a source into a folder; stopped and started again, it goes on after the last shard it had written.

    key_file: holds the secret that patients are hashed under; made where it is missing. Without one, published data
    sets are hashed under a public key, and others under a key in the folder `OUT.private` beside the result.
    domains: who looked for what, for the data sheet alone; default: those shipped.
    references: image -> patient, where it is known that patients of several data sets are one (`persons`).
    store: where pixels go, see `stores`. progress: called with (images done, images in all). Raises `DataError`.
    """
    listed = with_references(adapter.read(source), references or {})
    identifying = adapter.identifies(source)
    private = out.with_name(out.name + ".private") if identifying else None
    key_file = key_file or (private / "key" if private is not None else None)
    key = secret_key(key_file) if key_file is not None else PUBLIC_KEY
    if private is not None:
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
    public = pseudonymised(listed, key, rename=identifying)
    paths = [source / row.image for row in listed.images]
    try:
        writer = ShardWriter(out, settings, _fingerprint(source, listed, settings, key), store)
        _decode(paths, writer, settings, workers, limits or DecodeLimits(), progress)
        images = public.images
        decoded = tuple(images[position] for position, _ in writer.kept)
        sizes = {images[position].image: size for position, size in writer.kept}
        boxes, after = check_boxes(decoded, public.boxes, sizes)
        pixels, geometries = writer.images(), [writer.geometry(size) for _, size in writer.kept]
        pairs = near_duplicates(pixels, geometries)
        joined, joins = with_same_exposures(decoded, pairs)
        kept = with_splits(joined, shares)
        after = [*after, *joins, *(_exchanged(images[position]) for position in writer.exchanged)]
        problems = [*public.problems, *(_refusal(item, images) for item in writer.refused), *after]
        about = {
            "adapter": adapter.name,
            "input_px": settings.input_px,
            "identity": _identity(secret=key_file is not None),
        }
        writer.finish(kept, boxes, settings, about)
        sheet = data_sheet(kept, boxes, problems, pairs, about, domains or load_label_domains())
        write_atomically(out / "data_sheet.json", json.dumps(sheet, indent=2, ensure_ascii=False) + "\n")
        write_atomically(out / "data_sheet.md", as_markdown(sheet, problems))
        write_atomically(out / PROBLEMS, _problems_csv(problems))
        if private is not None:
            true_refused = [_refusal(item, listed.images) for item in writer.refused]
            problems = [*listed.problems, *true_refused, *after]
            names = zip(public.images, listed.images, strict=True)
            write_atomically(private / PROBLEMS, _problems_csv(problems))
            write_atomically(
                private / "names.csv", _csv(("prepared", "source"), [(a.image, b.image) for a, b in names])
            )
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror}; prepare needs room to write there") from error
    return Prepared(len(kept), tuple(problems), sheet, private)


def _decode(
    paths: Sequence[Path],
    writer: ShardWriter,
    settings: PreprocessSettings,
    workers: int,
    limits: DecodeLimits,
    progress: Callable[[int, int], None],
) -> None:
    if writer.next_position:
        progress(writer.next_position, len(paths))
    if writer.next_position >= len(paths):
        return
    with ExitStack() as stack:
        decoders: SimpleQueue[DecodingProcess] = SimpleQueue()
        for _ in range(workers):
            decoders.put(stack.enter_context(DecodingProcess(limits)))
        pool = stack.enter_context(ThreadPoolExecutor(workers))

        def decode(position: int) -> Decoded | Refused:
            with _borrowed(decoders) as decoder:
                return _decode_one(position, paths[position], decoder, settings)

        while writer.next_position < len(paths):
            first = writer.next_position
            last = min(first + SHARD_IMAGES, len(paths))
            results = []
            for done, result in enumerate(pool.map(decode, range(first, last)), start=first + 1):
                results.append(result)
                progress(done, len(paths))
            decoded = [result for result in results if isinstance(result, Decoded)]
            writer.append(decoded, [result for result in results if isinstance(result, Refused)], last)


@contextmanager
def _borrowed(decoders: SimpleQueue[DecodingProcess]) -> Iterator[DecodingProcess]:
    decoder = decoders.get()
    try:
        yield decoder
    finally:
        decoders.put(decoder)


def _decode_one(position: int, path: Path, decoder: DecodingProcess, settings: PreprocessSettings) -> Decoded | Refused:
    try:
        radiograph = _read(path, decoder)
    except UnsuitableImageError as error:
        return Refused(position, "unsuitable image", str(error))
    except (UnreadableImageError, DecoderTimeoutError) as error:
        return Refused(position, "unreadable image", str(error))
    grey, _ = fit(radiograph, settings)
    size = SourceSize(radiograph.rows, radiograph.columns, radiograph.pixel_aspect_ratio)
    exchanged = any(remark.startswith(EXCHANGED) for remark in radiograph.remarks)
    return Decoded(position, size, np.rint(grey * 255).astype(np.uint8), exchanged)


def _read(path: Path, decoder: DecodingProcess) -> Radiograph:
    """Decode an image, once more where that took too long: the program may have been stopped meanwhile (Ctrl-Z).

    What is learned from must not depend on that.
    """
    try:
        return decoder.read(path)
    except DecoderTimeoutError:
        return decoder.read(path)


def _refusal(refused: Refused, rows: Sequence[ImageRow]) -> Problem:
    row = rows[refused.position]
    action = "image left out"
    if refused.kind == "unsuitable image":
        action += "; one grey frame of 64 px a side to 100 megapixels is taken: convert or scale it"
    return Problem(row.place, refused.kind, f"{row.image}: {refused.what}", action)


def _exchanged(row: ImageRow) -> Problem:
    what = f"{row.image}: black and white look exchanged for a chest radiograph"
    return Problem(row.place, "inverted image", what, "image taken the other way round")


def _identity(*, secret: bool) -> str:
    if secret:
        return "Patients are hashed under a secret key."
    return "Patients, pseudonyms in the source already, are hashed under a public key."


def _fingerprint(source: Path, listed: Manifest, settings: PreprocessSettings, key: bytes) -> str:
    """Return a digest of all that the pixels and their order depend on."""
    digest = hashlib.sha256(settings.model_dump_json().encode() + hashlib.sha256(key).digest())
    for row in listed.images:
        status = (source / row.image).stat()
        digest.update(f"{row.image}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _problems_csv(problems: Sequence[Problem]) -> str:
    rows = [
        (problem.place.file, "" if problem.place.line is None else str(problem.place.line), *_said(problem))
        for problem in problems
    ]
    return _csv(("file", "line", "kind", "what", "action"), rows)


def _said(problem: Problem) -> tuple[str, str, str]:
    return problem.kind, problem.what, problem.action


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
