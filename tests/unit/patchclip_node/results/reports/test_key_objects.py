"""Key objects: which images are selected, and why."""

from __future__ import annotations

from typing import Any

from patchclip_node.domain.variants import ResultKind
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import analysed

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def test_key_objects_are_the_images_above_a_threshold() -> None:
    images = [analysed({}), analysed(LUNGS, SOPInstanceUID="1.2.3.9")]

    selection = object_of(ResultKind.KO, images)

    (item,) = [item for item in selection.ContentSequence if item.ValueType == "IMAGE"]
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.9"
    assert "ConceptNameCodeSequence" not in item
    description = items(selection, "Key Object Description")[0].TextValue
    assert "lung opacity" in description
    assert "Not for diagnosis" in description
