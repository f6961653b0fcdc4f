from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patchclip_core.drawing import draw_overlay
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Finding, FindingState, Radiograph
from tests.support.synthetic import findings_for, source_image

RADIOGRAPH = Radiograph(np.full((500, 400), 0.4, dtype=np.float32))
FOUND = findings_for(source_image(), {"opacity": [(4, 4, 5, 5)]})


def test_a_plot_is_the_overlay_of_the_radiograph_that_was_analysed() -> None:
    picture = replace(FOUND, radiograph=RADIOGRAPH).plot()

    assert picture.tobytes() == draw_overlay(RADIOGRAPH, FOUND, load_findings()).tobytes()


def test_findings_without_their_radiograph_say_how_to_get_a_picture() -> None:
    with pytest.raises(ValueError, match=r"analyze\(\)"):
        FOUND.plot()


def test_a_finding_by_text_is_drawn_with_its_own_definition() -> None:
    by_text = Finding("hernia", FindingState.PRESENT, 0.8, 0.5, experimental=True)
    found = replace(FOUND, items=(*FOUND.items, by_text), radiograph=RADIOGRAPH)
    definition = load_findings()["opacity"].model_copy(
        update={"key": "hernia", "name": "hiatal hernia", "colour": "#12ab34"}
    )

    with pytest.raises(ValueError, match=r"hernia.*definitions"):
        found.plot()
    picture = np.asarray(found.plot([definition]))

    assert (picture == np.array(definition.colour_rgb)).all(axis=-1).any()
