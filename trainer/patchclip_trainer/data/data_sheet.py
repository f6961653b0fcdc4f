"""The data sheet: what is in a prepared set, what was refused and why, and whether anything leaks between its parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from patchclip_core.reports.sentences import sections, sentences
from patchclip_trainer.data.duplicates import NearDuplicate
from patchclip_trainer.data.knowledge import as_lines, knowledge
from patchclip_trainer.data.label_domains import LabelDomains
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Problem
from patchclip_trainer.data.splits import PARTS

_SHOWN_PROBLEMS = 20
_SHOWN_PAIRS = 50
_KNOWN_MEANS = (
    "Images, by `conf/label_domains.yaml`. read: the whole image was looked at for the finding (of labels: they say "
    "something of it). boxed in part: outside of the boxes it is unknown, not absent. lesions: boxes; all together, "
    "those of several sources that overlap are one. all together: what training and evaluation go by.",
)


def data_sheet(
    rows: Sequence[ImageRow],
    boxes: Sequence[BoxRow],
    problems: Sequence[Problem],
    duplicates: Sequence[NearDuplicate],
    about: Mapping[str, Any],
    domains: LabelDomains,
) -> dict[str, Any]:
    """Return the sheet as JSON values; the tables count images (or boxes) by split."""
    boxes_of: dict[str, list[BoxRow]] = defaultdict(list)
    for box in boxes:
        boxes_of[box.image].append(box)
    patients: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        patients[row.patient_id].add(row.split)
    split_of = {row.image: row.split for row in rows}
    across = [pair for pair in duplicates if rows[pair.first].split != rows[pair.second].split]
    return {
        **about,
        "images": _by_split(("images", row.split) for row in rows)["images"] if rows else {},
        "patients": dict(Counter(split for splits in patients.values() for split in splits)),
        "by_source": _by_split((row.source or "not said", row.split) for row in rows),
        "by_licence_class": _by_split((row.licence_class or "not said", row.split) for row in rows),
        "by_view": _by_split((row.view or "not said", row.split) for row in rows),
        "by_sex": _by_split((row.sex or "not said", row.split) for row in rows),
        "by_label": _by_split((label, row.split) for row in rows for label in row.labels),
        "by_uncertain_label": _by_split((label, row.split) for row in rows for label in row.uncertain),
        "boxes_by_finding": _by_split((box.finding, split_of[box.image]) for box in boxes),
        "boxes_by_source": _by_split((box.source or "not said", split_of[box.image]) for box in boxes),
        "known_by_finding": knowledge(rows, boxes_of, domains),
        "images_with_boxes": len({box.image for box in boxes if box.kind == "finding"}),
        "reports": _reports(rows),
        "problems": dict(Counter(problem.kind for problem in problems).most_common()),
        "leakage": {
            "patients_in_several_splits": sum(len(splits) > 1 for splits in patients.values()),
            "near_duplicates": len(duplicates),
            "near_duplicates_across_splits": [_pair(pair, rows) for pair in across],
            "near_duplicate_pairs": [_pair(pair, rows) for pair in duplicates],
            "patients_joined": sum(problem.kind == "same exposure" for problem in problems),
        },
    }


def as_markdown(sheet: Mapping[str, Any], problems: Sequence[Problem]) -> str:
    """Return the sheet for a person."""
    leakage = sheet["leakage"]
    lines = [
        f"# Data sheet: {sheet['adapter']}",
        "",
        f"{sum(sheet['images'].values())} images of {sum(sheet['patients'].values())} patients at "
        f"{sheet['input_px']} x {sheet['input_px']} px; {sheet['images_with_boxes']} have finding boxes. "
        f"{sheet['identity']}",
        "",
        *_table("part", {"images": sheet["images"], "patients": sheet["patients"]}),
    ]
    for title, key in (
        ("Sources", "by_source"),
        ("Licence classes", "by_licence_class"),
        ("Views", "by_view"),
        ("Sex", "by_sex"),
        ("Image labels, as the sources say them", "by_label"),
        ("Labels that the sources call possible", "by_uncertain_label"),
        ("Boxes by finding", "boxes_by_finding"),
        ("Boxes by source", "boxes_by_source"),
    ):
        lines += [f"## {title}", "", *(_table("", sheet[key]) if sheet[key] else ["none", ""])]
    reports = sheet["reports"]
    lines += ["## What is known of each finding, and by whom", "", *_KNOWN_MEANS, ""]
    lines += as_lines(sheet["known_by_finding"])
    lines += [
        "## Reports",
        "",
        f"{reports['images']} images have report text: {reports['sentences']} sentences, "
        f"{reports['negative_sentences']} of them deny something; {reports['with_impression']} have an impression.",
        "",
        "## Leakage",
        "",
        f"Patients in more than one part: {leakage['patients_in_several_splits']}. Near-duplicate pairs: "
        f"{leakage['near_duplicates']}, of which {len(leakage['near_duplicates_across_splits'])} across parts. "
        f"Patients joined because they show one exposure: {leakage['patients_joined']}.",
        "",
    ]
    for title, key in (
        ("Across parts", "near_duplicates_across_splits"),
        ("All", "near_duplicate_pairs"),
    ):
        pairs = leakage[key]
        if pairs:
            lines += [f"{title}:", ""]
            lines += [f"- {pair['first']} ({pair['first_split']}) and {pair['second']} ({pair['second_split']}): "
                      f"{pair['correlation']:.3f}" for pair in pairs[:_SHOWN_PAIRS]]  # fmt: skip
            lines += (
                [f"- and {len(pairs) - _SHOWN_PAIRS} more, in data_sheet.json"] if len(pairs) > _SHOWN_PAIRS else []
            )
            lines += [""]
    lines += ["## What was wrong and what was done", ""]
    if not problems:
        lines += ["nothing", ""]
    for kind, count in sheet["problems"].items():
        lines += [f"### {kind}: {count}", ""]
        lines += [f"- {problem}" for problem in problems if problem.kind == kind][:_SHOWN_PROBLEMS]
        lines += [f"- and {count - _SHOWN_PROBLEMS} more, in problems.csv"] if count > _SHOWN_PROBLEMS else []
        lines += [""]
    return "\n".join(lines)


def _by_split(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, split in pairs:
        counts[name][split] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    return {name: {split: count[split] for split in PARTS if count[split]} for name, count in ordered}


def _reports(rows: Sequence[ImageRow]) -> dict[str, int]:
    counts: Counter[str] = Counter({"images": 0, "sentences": 0, "negative_sentences": 0, "with_impression": 0})
    for row in rows:
        if row.text:
            found = sections(row.text)
            said = (*sentences(found.findings), *sentences(found.impression))
            counts["images"] += 1
            counts["sentences"] += len(said)
            counts["negative_sentences"] += sum(sentence.is_negative for sentence in said)
            counts["with_impression"] += bool(found.impression)
    return dict(counts)


def _pair(pair: NearDuplicate, rows: Sequence[ImageRow]) -> dict[str, Any]:
    first, second = rows[pair.first], rows[pair.second]
    return {
        "first": first.image,
        "first_split": first.split,
        "second": second.image,
        "second_split": second.split,
        "correlation": pair.correlation,
    }


def _table(title: str, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    splits = [split for split in PARTS if any(split in count for count in counts.values())]
    lines = [f"| {title} | {' | '.join(splits)} | all |", f"|---|{'---:|' * (len(splits) + 1)}"]
    for name, count in counts.items():
        cells = " | ".join(str(count.get(split, 0)) for split in splits)
        lines.append(f"| {name.replace('|', '/')} | {cells} | {sum(count.values())} |")
    return [*lines, ""]
