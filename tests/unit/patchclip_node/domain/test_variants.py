"""Kinds of results and their variants: what is told of each, and what may be said of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from patchclip_node.domain.variants import STANDARD_VARIANTS, Drawing, PlaneGeometry, ResultKind, ResultVariant


def test_a_segmentation_alone_has_a_geometry() -> None:
    with pytest.raises(ValueError, match="segmentation has a geometry"):
        ResultVariant(ResultKind.SEG)
    with pytest.raises(ValueError, match="segmentation has a geometry"):
        ResultVariant(ResultKind.SR, PlaneGeometry.NONE)


def test_only_a_picture_has_a_drawing_and_a_size() -> None:
    with pytest.raises(ValueError, match="picture has a drawing"):
        ResultVariant(ResultKind.SR, drawing=Drawing.HEAT_MAP)
    with pytest.raises(ValueError, match="picture has a drawing"):
        ResultVariant(ResultKind.GSPS, longest_side_px=800)


@pytest.mark.parametrize("kind", ResultKind)
def test_the_usual_variant_of_a_kind_is_called_by_its_key_alone(kind: ResultKind) -> None:
    assert ResultVariant.usual(kind).key == kind.value
    assert ResultVariant.usual(kind, "de").key == f"{kind.value} language=de"
    assert (ResultVariant.usual(kind).picture is not None) == kind.is_picture


def test_the_series_of_no_two_kinds_begin_within_a_revision_of_each_other() -> None:
    """An image's series take a hundred numbers a revision, a study's one."""
    first = sorted(kind.series_number for kind in ResultKind)

    assert all(after - before >= 200 for before, after in pairwise(first))


def test_the_standard_results_are_report_and_segmentation() -> None:
    assert [variant.key for variant in STANDARD_VARIANTS] == ["sr", "seg"]
