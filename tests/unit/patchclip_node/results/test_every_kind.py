"""What holds for every kind of result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from tests.support.objects import objects_of
from tests.support.synthetic import analysed, result_context, with_overlay

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def test_where_nothing_is_present_there_is_nothing_to_point_at() -> None:
    image = analysed({})

    assert objects_of(ResultKind.KO, [image]) == []
    assert objects_of(ResultKind.GSPS, image) == []


def test_every_object_is_built_once_and_the_same_each_time() -> None:
    everything = [
        *map(ResultVariant.usual, ResultKind),
        ResultVariant(ResultKind.SEG, PlaneGeometry.NONE),
        ResultVariant(ResultKind.SR),
    ]
    images = [with_overlay(analysed(LUNGS))]

    first, second = (build_results(images, [], result_context(), everything) for _ in range(2))

    assert len(first) == len(ResultKind) + 1
    assert len({dataset.SOPInstanceUID for _, dataset in first}) == len(first)
    assert len({dataset.SeriesInstanceUID for _, dataset in first}) == len(first)
    assert len({dataset.SeriesNumber for _, dataset in first}) == len(first) - 1  # two planes of one segmentation
    assert [encode(dataset) for _, dataset in first] == [encode(dataset) for _, dataset in second]


def test_the_conformance_statement_names_every_class_that_is_returned() -> None:
    statement = (Path(__file__).parents[4] / "docs" / "conformance.md").read_text(encoding="utf-8")
    section = statement.split("\n### 1.1 Content and transfer\n")[1].split("\n###")[0]
    variants = [ResultVariant.usual(kind) for kind in ResultKind]

    results = build_results([with_overlay(analysed(LUNGS))], [], result_context(), variants)

    assert len(results) == len(ResultKind)
    for variant, dataset in results:
        assert f"| {dataset.SOPClassUID.name} | `{dataset.SOPClassUID}` |" in section, variant
