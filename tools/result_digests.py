"""Prints a digest of every result of DICOM files, so that a change of the code can be shown to change no result.

    python tools/result_digests.py FOLDER... > before.txt
    git switch my-change
    python tools/result_digests.py FOLDER... > after.txt
    diff before.txt after.txt

Takes all `*.dcm` below the folders, each study as a whole, through the steps of the worker: selection, decoding, the
default model, and every variant of every kind of result. UIDs, time and revision are fixed, so that the same code
prints the same lines. A line that begins with a file's name and ends with a digest is an object, a picture or
`findings.json`; the other lines say why a file has no result. A good folder to begin with is
`node/patchclip_node/samples`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import structlog
import torch

from patchclip_core.io import DecodingProcess
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Analyzer
from patchclip_core.values.wording import languages, load_wordings
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.bootstrap.decoding import open_decoder
from patchclip_node.bootstrap.model import load_analyzer
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.records import InstanceHeader
from patchclip_node.domain.variants import Drawing, PictureStyle, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import Predecessor, ResultContext, encode, numbered
from patchclip_node.results.findings_json import DocumentedImage, findings_document
from patchclip_node.services.analyse import Analysed, StudyImage, analyse_instances
from patchclip_node.settings import NodeSettings

_NOW = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=timezone(timedelta(hours=1)))
_PREDECESSOR = Predecessor("sr", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.4", "1.2.3.5")
_SMALL_PICTURE_PX = 1200


def every_variant() -> list[ResultVariant]:
    """Return each kind of result in each language, plane, drawing and size that a profile may ask for."""
    variants = [variant for language in languages() for kind in ResultKind for variant in _variants(kind, language)]
    description = "a name that a site chose for its series of reports which is long"
    return [*variants, ResultVariant(ResultKind.SR, series_number=500, series_description=description)]


def _variants(kind: ResultKind, language: str) -> list[ResultVariant]:
    if kind.has_geometry:
        return [ResultVariant(kind, geometry, language=language) for geometry in PlaneGeometry]
    if kind.is_picture:
        drawn = [ResultVariant(kind, drawing=drawing, language=language) for drawing in Drawing]
        return [*drawn, ResultVariant(kind, longest_side_px=_SMALL_PICTURE_PX, language=language)]
    return [ResultVariant(kind, language=language)]


def digests(folders: Iterable[Path], analyzer: Analyzer, variants: Sequence[ResultVariant]) -> Iterator[str]:
    """Yield the lines for all `*.dcm` below the folders; see the module."""
    settings = NodeSettings()
    definitions, wordings = load_findings(settings.findings_file), load_wordings()
    context = ResultContext(
        revision=2,
        uids=DerivedUidGenerator(),
        now=_NOW,
        station_name="PATCHCLIP",
        definitions=definitions,
        wordings=wordings,
        predecessors=(_PREDECESSOR,),
    )
    studies: dict[str, dict[str, tuple[Path, InstanceHeader]]] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*.dcm"))):
        try:
            header = read_header(path)
        except Exception as error:  # noqa: BLE001 - what a change does to the error is compared, too
            yield f"{path.name} unreadable {type(error).__name__} {error}"
        else:
            studies.setdefault(header.study_instance_uid, {}).setdefault(header.sop_instance_uid, (path, header))
    with open_decoder(settings.limits) as decoder:
        for files in studies.values():
            yield from _of_study(files, decoder, analyzer, context, variants)


def _of_study(
    files: Mapping[str, tuple[Path, InstanceHeader]],
    decoder: DecodingProcess,
    analyzer: Analyzer,
    context: ResultContext,
    variants: Sequence[ResultVariant],
) -> Iterator[str]:
    name = next(iter(files.values()))[0].name
    images = [StudyImage(path, header.sop_class_uid, header.sop_instance_uid) for path, header in files.values()]
    try:
        outcome = analyse_instances(images, decoder, analyzer, context, variants, PictureStyle())
    except Exception as error:  # noqa: BLE001 - what a change does to the error is compared, too
        yield f"{name} RAISED {type(error).__name__} {str(error)[:200]}"
        return
    for skipped in outcome.skipped:
        yield f"{name} skipped {skipped.image.path.name} {skipped.reason}"
    if not isinstance(outcome, Analysed):
        yield f"{name} rejected {outcome.reason}"
        return
    for number, (variant, dataset) in enumerate(outcome.results):
        yield f"{name} {number} {variant.key} {_sha256(encode(dataset))}"
    for file in outcome.images:
        assert file.overlay is not None, "a style was given"
        yield f"{name} overlay {file.image.path.name} {_sha256(file.overlay)}"
    documented = [
        DocumentedImage("f", "s", "r", image.facts.sop_instance_uid, image, None, ())
        for image in numbered([file.result for file in outcome.images])
    ]
    document = findings_document(documented, context.definitions, analyzer.identity, {"s": []})
    yield f"{name} json {_sha256(json.dumps(document, sort_keys=True).encode())}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Print the digests of the folders that the command line names; 2 where it names none or one that is missing."""
    folders = [Path(name) for name in sys.argv[1:]]
    missing = [folder for folder in folders if not folder.is_dir()]
    if not folders or missing:
        named = ", ".join(map(str, missing)) or "none was named"
        sys.stderr.write(f"usage: python tools/result_digests.py FOLDER...; folders that are missing: {named}\n")
        return 2
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    torch.set_num_threads(1)  # sums over several threads may differ in their last digits
    for line in digests(folders, load_analyzer(NodeSettings()), every_variant()):
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
