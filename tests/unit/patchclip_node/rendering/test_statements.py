"""What OHIF 3.13.2 really stored of a chest radiograph: a Label Map Segmentation and a TID 1500 report.

Both were drawn in it over `tests/support/ohif/image.dcm` (whose pixels are blank here) and labelled "pleural effusion":
the label map over x 30 to 90 and y 150 to 200, the rectangle of the report with the mouse.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from patchclip_core.io import DecodeLimits
from patchclip_node.domain.verdicts import Box
from patchclip_node.rendering.statements import statements

STORED = Path(__file__).parents[3] / "support" / "ohif"


def test_the_label_map_of_ohif_is_read_with_its_label_and_place() -> None:
    assert dcmread(STORED / "label-map.dcm").SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"

    read = statements(STORED / "label-map.dcm", [STORED / "image.dcm"], DecodeLimits())

    (said,) = read.statements
    assert (said.name, said.boxes) == ("pleural effusion", (Box(30, 150, 60, 50),))
    assert said.sop_instance_uid == dcmread(STORED / "image.dcm").SOPInstanceUID


def test_a_rectangle_of_ohif_is_read_with_its_label_and_place_and_names_no_one() -> None:
    read = statements(STORED / "report.dcm", [STORED / "image.dcm"], DecodeLimits())

    (said,) = read.statements
    assert said.name == "pleural effusion"
    (box,) = said.boxes
    assert (box.x, box.y, box.w, box.h) == pytest.approx((97.4, 157.5, 22.4, 26.2), abs=0.1)
    assert read.by == ""
