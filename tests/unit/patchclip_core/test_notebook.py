from __future__ import annotations

import copy
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import patchclip_core
from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.drawing import draw_overlay
from patchclip_core.errors import UnreadableImageError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.notebook import Model, SeenFindings, as_radiograph, frame_of
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Finding, Findings, FindingState, Radiograph
from tests.support.synthetic import findings_for, source_image

BRIGHT = Path(__file__).parents[2] / "plugins" / "bright_checkpoint"
RADIOGRAPH = Radiograph(np.full((500, 400), 0.4, dtype=np.float32))
FOUND = findings_for(source_image(), {"opacity": [(4, 4, 5, 5)]})


def beside(radiograph: Radiograph, *more: Finding) -> SeenFindings:
    return SeenFindings(items=(*FOUND.items, *more), geometry=FOUND.geometry, model=FOUND.model, radiograph=radiograph)


def test_a_radiograph_is_taken_as_it_is() -> None:
    radiograph = Radiograph(np.zeros((4, 5), np.float32))

    assert as_radiograph(radiograph) is radiograph


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_unsigned_integers_use_the_range_of_their_type(kind: type[np.unsignedinteger]) -> None:
    highest = np.iinfo(kind).max

    pixels = as_radiograph(np.array([[0, highest]], dtype=kind)).pixels

    assert pixels.tolist() == [[0.0, 1.0]]


def test_a_path_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 180), 51, np.uint8)).save(tmp_path / "chest.png")

    for path in (tmp_path / "chest.png", str(tmp_path / "chest.png")):
        assert as_radiograph(path).pixels[0, 0] == pytest.approx(0.2)


def test_a_path_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="cannot be opened"):
        as_radiograph(tmp_path / "nothing.dcm")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 3), np.uint8), "take one channel"),
        (np.zeros((4, 4), np.int16), "could mean any range"),
        (np.full((4, 4), 200.0), "scale them first"),
        (np.full((4, 4), np.nan), "scale them first"),
    ],
)
def test_an_array_that_could_be_misread_is_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        as_radiograph(array)


def test_analyze_says_what_the_batch_says_and_keeps_the_radiograph() -> None:
    model = patchclip_core.load("untrained", device="cpu")
    pixels = np.random.default_rng(0).random((300, 240))

    findings = model.analyze(pixels)

    (of_batch,) = model.analyze_batch([findings.radiograph])
    assert [item.probability for item in findings] == [item.probability for item in of_batch]
    assert type(of_batch) is Findings, "batches do not hold on to pixels"


def test_a_model_has_what_its_analyzer_has() -> None:
    analyzer = load("untrained", device="cpu")
    assert isinstance(analyzer, NetworkAnalyzer)

    model = Model(analyzer)

    assert (model.identity, model.finding_keys) == (analyzer.identity, analyzer.finding_keys)
    assert model.network is analyzer.network
    assert model.card is analyzer.card
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing
    assert copy.copy(model).analyzer is analyzer


def test_a_closer_look_can_be_plotted_too() -> None:
    model = patchclip_core.load("untrained", device="cpu")

    closer = model.looking_closer().analyze(RADIOGRAPH)

    assert closer.geometry.grid.rows > model.analyze(RADIOGRAPH).geometry.grid.rows
    assert closer.plot().mode == "RGB"


def test_a_plug_ins_model_analyses_and_says_what_it_cannot_do() -> None:
    model = patchclip_core.load(BRIGHT)

    assert model.analyze(RADIOGRAPH).plot().mode == "RGB"
    with pytest.raises(TypeError, match=r"bright-pixels cannot look at tiles: use .* built-in architecture"):
        model.looking_closer()
    with pytest.raises(TypeError, match="bright-pixels reads no sentences: use"):
        model.asking(list(load_findings().values())[:1])


def test_a_plot_is_the_overlay_of_the_radiograph_that_was_analysed() -> None:
    picture = beside(RADIOGRAPH).plot()

    assert picture.tobytes() == draw_overlay(RADIOGRAPH, FOUND, load_findings()).tobytes()


def test_a_finding_by_text_is_drawn_with_its_own_definition() -> None:
    found = beside(RADIOGRAPH, Finding("hernia", FindingState.PRESENT, 0.8, 0.5, experimental=True))
    definition = load_findings()["opacity"].model_copy(
        update={"key": "hernia", "name": "hiatal hernia", "colour": "#12ab34"}
    )

    with pytest.raises(ValueError, match=r"hernia.*definitions"):
        found.plot()
    picture = np.asarray(found.plot([definition]))

    assert (picture == np.array(definition.colour_rgb)).all(axis=-1).any()


def test_findings_become_plain_values_that_json_takes() -> None:
    found = beside(RADIOGRAPH).to_dict()

    (opacity,) = [item for item in found["findings"] if item["key"] == "opacity"]
    assert json.loads(json.dumps(found)) == found
    assert (opacity["state"], set(opacity["regions"][0])) == ("present", {"x", "y", "w", "h", "score"})
    assert opacity["regions"][0]["score"] == FOUND["opacity"].regions[0].score
    assert (found["rows"], found["columns"]) == (FOUND.geometry.source_rows, FOUND.geometry.source_columns)


def test_a_frame_has_a_row_a_finding_with_its_strongest_region() -> None:
    frame = frame_of([FOUND, FOUND], ["a", "b"])

    assert isinstance(frame, import_module("pandas").DataFrame)
    assert len(frame) == 2 * len(FOUND.items)
    opacity = frame[(frame["image"] == "b") & (frame["key"] == "opacity")].iloc[0]
    assert (opacity["state"], opacity["regions"], opacity["x"]) == ("present", 1, FOUND["opacity"].regions[0].x)
    assert beside(RADIOGRAPH).to_frame()["image"].unique().tolist() == ["0"]


def test_without_pandas_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match="pip install pandas"):
        beside(RADIOGRAPH).to_frame()
