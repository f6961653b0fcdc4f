"""What segmentations and maps say of their plane."""

from __future__ import annotations

from typing import Any

from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from tests.support.objects import object_of
from tests.support.synthetic import analysed

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def test_each_geometry_is_an_instance_of_its_own() -> None:
    image = analysed(LUNGS)
    built = {geometry: object_of(ResultVariant(ResultKind.SEG, geometry), image) for geometry in PlaneGeometry}

    assert len({made.SOPInstanceUID for made in built.values()}) == len(PlaneGeometry)
    oriented, bare = built[PlaneGeometry.ORIENTATION_ONLY], built[PlaneGeometry.NONE]
    assert "FrameOfReferenceUID" not in oriented
    assert "PlaneOrientationSequence" in oriented.SharedFunctionalGroupsSequence[0]
    assert "PlaneOrientationSequence" not in bare.SharedFunctionalGroupsSequence[0]
