"""What is known of each finding in a data set, and by whom: the data sheet's tables of readers, lists and labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from patchclip_core.reports.names import plain
from patchclip_trainer.data.label_domains import (
    LabelDomains,
    LabelState,
    label_of,
    lesions_of,
    readers_of,
    rest_known,
    text_label_of,
)
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.data.splits import PARTS

TOGETHER = "all together"
"""What training and evaluation go by: contradictions are unknown, overlapping boxes of several sources one lesion."""
COLUMNS = ("read", "positive", "boxed", "boxed in part", "lesions", "negative", "unknown")

Counts = dict[str, dict[str, dict[str, dict[str, int]]]]


def knowledge(rows: Sequence[ImageRow], boxes: Mapping[str, Sequence[BoxRow]], domains: LabelDomains) -> Counts:
    """Return counts of images by finding, source, column and part. boxes: by image.

    A source is a read, with the boxes that its readers drew; a list of boxes; the labels of a data set; or all of them.
    read: images in which the whole was looked at for the finding; of labels, those about which they say something.
    boxed in part: those of the boxed images in which the finding is unknown outside of the boxes. lesions: boxes; all
    together, those of several sources that overlap count once. unknown: images of which the source says nothing.
    """
    found: Counts = {}
    images = Counter(row.split for row in rows)
    for finding in domains.findings:
        counted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for row in rows:
            for source, columns in _of_image(row, boxes.get(row.image, ()), finding, domains).items():
                for column, count in columns.items():
                    counted[source][column][row.split] += count
        if not counted:
            continue
        for of_source in counted.values():
            said = of_source["positive"] + of_source["negative"]
            of_source["unknown"] = Counter({part: images[part] - said[part] for part in images})
        parts = [part for part in PARTS if images[part]]
        found[finding] = {
            source: {column: {part: counted[source][column][part] for part in parts} for column in COLUMNS}
            for source in sorted(counted, key=lambda source: (source == TOGETHER, source))
        }
    return found


def as_lines(known: Mapping[str, Any]) -> list[str]:
    """Return the tables for a person, a cell with the counts of the parts in their order."""
    lines: list[str] = []
    for finding, sources in known.items():
        parts = list(next(iter(sources.values()))["read"])
        lines += [
            f"### {finding}, {' / '.join(parts)}",
            "",
            f"| source | {' | '.join(COLUMNS)} |",
            f"|---|{'---:|' * len(COLUMNS)}",
        ]
        for source, columns in sources.items():
            cells = (" / ".join(str(columns[column][part]) for part in parts) for column in COLUMNS)
            lines.append(f"| {source.replace('|', '/')} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _of_image(row: ImageRow, boxes: Sequence[BoxRow], finding: str, domains: LabelDomains) -> dict[str, dict[str, int]]:
    """Return the counts that one image adds, by source and column; nothing for a source that says nothing of it."""
    names = domains.names(finding)
    drawn = Counter(box.source for box in boxes if box.kind == "finding" and plain(box.finding) in names)
    positive, negative = readers_of(row, boxes, finding, domains)
    added: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    for source in (*positive, *negative):
        columns, in_part = added[_reader_of(source, domains)], domains.marks_some(source)
        columns["read"] |= not in_part
        columns["positive"] |= source in positive
        columns["boxed"] |= source in drawn
        columns["boxed in part"] |= in_part
        columns["lesions"] += drawn[source]
    for columns in added.values():
        columns["negative"] = int(not columns["positive"])
    text = text_label_of(row, finding, domains)
    if text is not LabelState.UNKNOWN:
        said = "positive" if text is LabelState.TEXT_POSITIVE else "negative"
        added[f"labels of {row.source}"].update({"read": 1, said: 1})
    state = label_of(row, boxes, finding, domains)
    if state is not LabelState.UNKNOWN:
        added[TOGETHER] = _together(row, boxes, finding, domains, state)
    return added


def _together(
    row: ImageRow, boxes: Sequence[BoxRow], finding: str, domains: LabelDomains, state: LabelState
) -> dict[str, int]:
    lesions = lesions_of(boxes, finding, domains) if state is LabelState.POSITIVE else ()
    whole = rest_known(row, boxes, finding, domains)
    positive = state in {LabelState.POSITIVE, LabelState.TEXT_POSITIVE}
    return {
        "read": int(state.read and whole),
        "positive": int(positive),
        "boxed": int(bool(lesions)),
        "boxed in part": int(bool(lesions) and not whole),
        "lesions": len(lesions),
        "negative": int(not positive),
    }


def _reader_of(source: str, domains: LabelDomains) -> str:
    """Return the read that a source of boxes belongs to, by how it begins; itself where it is none's."""
    own = [name for name in domains.reads if source == name or source.startswith(f"{name} ")]
    return max(own, key=len, default=source)
