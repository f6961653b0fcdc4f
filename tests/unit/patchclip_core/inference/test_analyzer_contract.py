"""What every model promises, whatever its architecture, plug-ins included."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchclip_core.checkpoints.checkpoint import load, read_card
from patchclip_core.errors import CheckpointError
from patchclip_core.notebook import Model
from patchclip_core.values.results import Analyzer, FindingState, Radiograph
from tests.support.bright_onnx import write_bright_onnx
from tests.support.checkpoints import CLIP, DINO, write_checkpoint

BRIGHT = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"
MODELS = ("untrained", "demo", "bright", "onnx", "patchclip", "patchclip-clip", "lrclr", "lrclr-clip", "lrclr-dino")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "untrained": "untrained",
        "demo": "demo",
        "bright": BRIGHT,
        "onnx": write_bright_onnx(folder / "onnx"),
        "patchclip": write_checkpoint(folder / "patchclip", "patchclip"),
        "patchclip-clip": write_checkpoint(folder / "patchclip-clip", "patchclip", CLIP),
        "lrclr": write_checkpoint(folder / "lrclr", "lrclr"),
        "lrclr-clip": write_checkpoint(folder / "lrclr-clip", "lrclr", CLIP),
        "lrclr-dino": write_checkpoint(folder / "lrclr-dino", "lrclr", DINO),
    }


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, checkpoints: dict[str, str | Path]) -> str | Path:
    return checkpoints[request.param]


@pytest.fixture(scope="module")
def model(checkpoint: str | Path) -> Analyzer:
    return load(checkpoint, device="cpu")


def radiograph(seed: int, rows: int = 180, columns: int = 150, pixel_aspect_ratio: float = 1.0) -> Radiograph:
    pixels = np.random.default_rng(seed).random((rows, columns), dtype=np.float32)
    pixels[rows // 4 : rows // 2, columns // 4 : columns // 2] = 0.95
    return Radiograph(pixels, pixel_aspect_ratio, remarks=(f"image {seed}",))


def test_it_is_an_analyzer_that_says_who_it_is(model: Analyzer) -> None:
    assert isinstance(model, Analyzer)
    assert model.identity.weights_digest.startswith("sha256:")
    assert model.identity.statement
    assert len(set(model.finding_keys)) == len(model.finding_keys) > 0


def test_every_finding_is_answered_in_order(model: Analyzer) -> None:
    (findings,) = model.analyze_batch([radiograph(1)])

    assert tuple(item.key for item in findings) == model.finding_keys
    assert findings.model == model.identity
    assert findings.remarks == ("image 1",)


def test_a_notebook_can_ask_it_about_one_image(model: Analyzer) -> None:
    image = radiograph(4)

    findings = Model(model).analyze(image)

    assert findings.radiograph is image
    assert [item.probability for item in findings] == [item.probability for item in model.analyze_batch([image])[0]]
    assert findings.plot().mode == "RGB"


def test_no_images_have_no_findings(model: Analyzer) -> None:
    assert model.analyze_batch([]) == []


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(30, 400),
    columns=st.integers(30, 400),
    pixel_aspect_ratio=st.floats(0.5, 2.0),
    grey=st.sampled_from([None, 0.0, 1.0]),
)
def test_maps_and_regions_lie_in_the_image_whatever_its_shape(
    model: Analyzer, rows: int, columns: int, pixel_aspect_ratio: float, grey: float | None
) -> None:
    image = radiograph(2, rows, columns, pixel_aspect_ratio)
    if grey is not None:
        image.pixels[:] = grey

    (findings,) = model.analyze_batch([image])

    geometry = findings.geometry
    assert (geometry.source_rows, geometry.source_columns) == (rows, columns)
    for item in findings:
        if item.patch_map is not None:
            assert item.patch_map.shape == (geometry.grid.rows, geometry.grid.columns)
            assert item.patch_map.dtype == np.float32
            assert np.all((item.patch_map >= 0) & (item.patch_map <= 1))  # a NaN is neither
        scores = [region.score for region in item.regions]
        assert scores == sorted(scores, reverse=True)
        for region in item.regions:
            assert region.w > 0
            assert region.h > 0
            assert 0 <= region.x <= region.x + region.w <= columns + 1e-6
            assert 0 <= region.y <= region.y + region.h <= rows + 1e-6
            assert item.region_threshold <= region.score + 1e-6


def test_states_follow_from_probabilities_and_not_evaluated_says_why(model: Analyzer) -> None:
    for findings in model.analyze_batch([radiograph(seed) for seed in range(3)]):
        for item in findings:
            if item.state is FindingState.NOT_EVALUATED:
                assert item.probability is None
                assert item.reason
                continue
            assert item.probability is not None
            assert item.threshold is not None
            assert 0 <= item.probability <= 1
            assert item.state.is_found == (item.probability >= item.threshold)


def test_the_same_image_has_the_same_findings_every_time(model: Analyzer, checkpoint: str | Path) -> None:
    (first,), (second,), (fresh,) = (
        which.analyze_batch([radiograph(5)]) for which in (model, model, load(checkpoint, device="cpu"))
    )

    for one, two, three in zip(first, second, fresh, strict=True):
        assert one.probability == two.probability == three.probability
        assert one.regions == two.regions == three.regions
        if one.patch_map is not None:
            assert two.patch_map is not None
            assert three.patch_map is not None
            assert np.array_equal(one.patch_map, two.patch_map)
            assert np.array_equal(one.patch_map, three.patch_map)


def test_an_image_does_not_depend_on_what_else_is_in_the_batch(model: Analyzer) -> None:
    images = [radiograph(seed, rows=120 + 40 * seed) for seed in range(4)]

    together = model.analyze_batch(images)

    assert [findings.remarks for findings in together] == [image.remarks for image in images]
    for image, findings in zip(images, together, strict=True):
        (alone,) = model.analyze_batch([image])
        assert alone.geometry == findings.geometry
        for one, other in zip(alone, findings, strict=True):
            assert one.state is other.state
            assert one.probability == pytest.approx(other.probability, abs=1e-4)
            if one.patch_map is not None:
                assert other.patch_map == pytest.approx(one.patch_map, abs=1e-4)


def test_a_radiograph_is_not_changed(model: Analyzer) -> None:
    image = radiograph(6)
    before = image.pixels.copy()

    model.analyze_batch([image])

    assert np.array_equal(image.pixels, before)


@pytest.fixture
def copied(tmp_path: Path, checkpoint: str | Path) -> Path:
    if isinstance(checkpoint, str):
        checkpoint = Path(__file__).parents[4] / "patchclip_core" / "weights" / checkpoint
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_damaged_weights_are_refused(copied: Path) -> None:
    weights = copied / read_card(copied).weights_files[0]
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)

    with pytest.raises(CheckpointError, match="not those of its card"):
        load(copied)


def test_a_file_that_is_missing_is_named(copied: Path) -> None:
    weights = copied / read_card(copied).weights_files[0]
    weights.unlink()

    with pytest.raises(CheckpointError, match=rf"lacks {weights.name}"):
        load(copied)


@pytest.mark.parametrize("architecture", ["patchclip", "lrclr"])
def test_weights_of_another_architecture_are_refused_by_name(
    architecture: str, checkpoints: dict[str, str | Path], tmp_path: Path
) -> None:
    other = "lrclr" if architecture == "patchclip" else "patchclip"
    folder = Path(shutil.copytree(checkpoints[other], tmp_path / "foreign"))
    own, foreign = (json.loads((Path(checkpoints[name]) / "card.json").read_text()) for name in (architecture, other))
    (folder / "card.json").write_text(json.dumps(own | {"weights_digest": foreign["weights_digest"]}))

    with pytest.raises(CheckpointError, match=r"(?s)not of this network:.*missing: .*unexpected: "):
        load(folder)


def test_a_card_of_the_wrong_architecture_names_the_settings(
    checkpoints: dict[str, str | Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["patchclip"], tmp_path / "wrong"))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"architecture": "lrclr"}))

    with pytest.raises(CheckpointError, match=r"(?s)architecture 'lrclr'.*settings\.sparse"):
        load(folder)
