"""Says what becomes of real DICOM files, one line a file: analysed, refused with a reason, or a defect.

    python tools/real_files.py FOLDER... > after.tsv
    python tools/real_files.py --compare before.tsv after.tsv     a Markdown table of what differs, and counts

Each file goes the way of a study of one image: the receiver's reading of its header, selection, decoding and every step
up to the report, with a model that finds something everywhere. Of an image that its header rejects, the pixels are
decoded all the same, since most test files are not radiographs. To see what a change does, run it with the trees of
before and after in PYTHONPATH. Folders that have such files: the samples, `pydicom/data` and the package pydicom-data.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import read_radiograph
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import RejectedError
from patchclip_node.services.analyse import Analysed, StudyImage, analyse_instances
from tests.support.analysis import OpacityEverywhere
from tests.support.marked import InThisProcess
from tests.support.synthetic import result_context

LONGEST_REASON = 240


def outcome(path: Path) -> str:
    """Return what becomes of one file."""
    try:
        header = read_header(path)
    except RejectedError as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - a defect is what is looked for
        return f"DEFECT in the receiver: {type(error).__name__}: {error}"
    try:
        image = StudyImage(path, header.sop_class_uid, header.sop_instance_uid)
        found = analyse_instances([image], InThisProcess(), OpacityEverywhere(), result_context())
    except Exception as error:  # noqa: BLE001 - likewise
        return f"DEFECT in the worker: {type(error).__name__}: {error}"
    if not isinstance(found, Analysed):
        return f"rejected: {found.reason}; {pixels(path)}"
    (file,) = found.images
    remarks = dict.fromkeys((*file.result.remarks, *file.result.findings.remarks))
    return " ".join(("analysed", *remarks))


def pixels(path: Path) -> str:
    """Return what the decoder makes of a file whose header was enough to reject it."""
    try:
        radiograph = read_radiograph(path)
    except (UnreadableImageError, UnsuitableImageError) as error:
        return f"not decoded: {error}"
    except Exception as error:  # noqa: BLE001 - a defect is what is looked for
        return f"DEFECT in the decoder: {type(error).__name__}: {error}"
    return " ".join(("decoded", *radiograph.remarks))


def files_below(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield every file that may be DICOM, named by the folder that was asked for and its place below it."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in {"", ".dcm", ".DCM", ".dicom"} and path.name != "DICOMDIR":
                yield f"{folder.name}/{path.relative_to(folder)}", path


def compare(before: Path, after: Path) -> Iterator[str]:
    """Yield the Markdown of two runs: how many of each outcome, and the files whose outcome differs."""
    runs = [dict(_rows(path)) for path in (before, after)]
    names = [name for name in runs[1] if name in runs[0]]
    counts = [Counter(_kind(run[name]) for name in names) for run in runs]
    yield "| outcome | before | after |\n|---|---|---|"
    for kind in sorted(counts[0] | counts[1]):
        yield f"| {kind} | {counts[0][kind]} | {counts[1][kind]} |"
    changes: dict[tuple[str, str], list[str]] = {}
    for name in names:
        first, second = (_cell(run[name]) for run in runs)
        if first != second:
            changes.setdefault((first, second), []).append(name)
    yield "\n| files | for example | before | after |\n|---|---|---|---|"
    for (first, second), changed in changes.items():
        yield f"| {len(changed)} | `{changed[0]}` | {first} | {second} |"


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, said = line.split("\t", 1)
        yield name, said


def _kind(said: str) -> str:
    first = said.partition(":")[0].split()[0]
    return next((defect for defect in ("DEFECT",) if defect in said), first) + (
        ", pixels decoded" if "; decoded" in said else ""
    )


def _cell(said: str) -> str:
    short = said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON].rsplit(' ', 1)[0]} ..."
    return short.replace("|", "\\|")


def main() -> None:
    """Run the command."""
    if sys.argv[1:2] == ["--compare"]:
        lines = compare(*map(Path, sys.argv[2:4]))
    else:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        found = files_below([Path(name) for name in sys.argv[1:]])
        lines = (f"{name}\t{' '.join(outcome(path).replace(path.name, 'the file').split())}" for name, path in found)
    for line in lines:
        print(line, flush=True)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
