from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from onnx import load_model
from onnx.external_data_helper import set_external_data

from patchclip_core.checkpoints import onnx
from patchclip_core.checkpoints.checkpoint import load, read_card, runtime_of, write_card
from patchclip_core.checkpoints.onnx import OnnxExportError, export_onnx
from patchclip_core.checkpoints.onnx_loading import open_session
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.exported import ExportedAnalyzer
from patchclip_core.io import read_radiograph
from patchclip_core.models.towers import ImageSettings
from patchclip_core.places.preprocess import preprocess
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Analyzer, Radiograph, Region
from tests.support.bright_onnx import accept, write_bright_onnx, write_graph
from tests.support.checkpoints import CLIP, COMPACT, DINO, write_checkpoint

ROOT = Path(__file__).parents[4]
SAMPLES = sorted((ROOT / "node" / "patchclip_node" / "samples").glob("*.dcm"))


def network(checkpoint: Path | str) -> NetworkAnalyzer:
    model = load(checkpoint, device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    return model


def pictures(count: int) -> list[Radiograph]:
    return [Radiograph(np.random.default_rng(seed).random((90, 70 + seed), dtype=np.float32)) for seed in range(count)]


WITHIN = 1e-5
"""Probabilities differ by less; on the samples, by 8e-7."""


def assert_same(one: Analyzer, other: Analyzer, images: list[Radiograph]) -> list[Region]:
    """Also the same regions, which are returned."""
    assert one.finding_keys == other.finding_keys
    regions: list[Region] = []
    for said, again in zip(one.analyze_batch(images), other.analyze_batch(images), strict=True):
        assert said.geometry == again.geometry
        for finding, same in zip(said, again, strict=True):
            assert (same.key, same.state, same.reason) == (finding.key, finding.state, finding.reason)
            assert same.probability == pytest.approx(finding.probability, abs=WITHIN)
            if finding.patch_map is None:
                assert same.patch_map is None
            else:
                assert same.patch_map == pytest.approx(finding.patch_map, abs=WITHIN)
            assert [region.box for region in same.regions] == [region.box for region in finding.regions]
            assert [region.score for region in same.regions] == pytest.approx(
                [region.score for region in finding.regions], abs=WITHIN
            )
            regions += same.regions
    return regions


@pytest.mark.parametrize(
    ("architecture", "tower", "mirrored"),
    [
        ("patchclip", COMPACT, True),
        ("patchclip", CLIP, False),
        ("lrclr", COMPACT, False),
        ("lrclr", DINO, False),
    ],
    ids=["patchclip-compact-mirrored", "patchclip-clip", "lrclr-compact", "lrclr-dino"],
)
def test_an_exported_checkpoint_finds_the_same(
    architecture: str, tower: ImageSettings, mirrored: bool, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", architecture, tower)
    write_card(folder, read_card(folder).model_copy(update={"mirrored": mirrored}))
    model = network(folder)

    card = export_onnx(model, tmp_path / "out" / "exported")
    exported = load(tmp_path / "out" / "exported")

    assert isinstance(exported, ExportedAnalyzer)
    for images in (pictures(3), pictures(1)):  # any batch size
        assert_same(model, exported, images)
    assert_same(model.looking_closer(), exported.looking_closer(), pictures(2))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["exported"]
    assert card.settings["exported_from"] == model.identity.weights_digest != exported.identity.weights_digest
    assert card.settings["greatest_difference"] <= onnx.TOLERANCE
    assert_gives_probabilities_and_maps(tmp_path / "out" / "exported", model)


def assert_gives_probabilities_and_maps(folder: Path, model: NetworkAnalyzer) -> None:
    """To whoever runs the graph without the node."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (image,) = pictures(1)
    prepared = preprocess(image, model.card.preprocess)[0][None]
    probabilities, maps = session.run(["probabilities", "patch_maps"], {"images": prepared})
    (findings,) = model.analyze_batch([image])
    assert probabilities[0] == pytest.approx([item.probability for item in findings], abs=WITHIN)
    assert maps[0][0] == pytest.approx(findings[model.finding_keys[0]].patch_map, abs=WITHIN)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model, exported by the command."""
    folder = tmp_path_factory.mktemp("exported") / "demo"
    command = [sys.executable, "-m", "patchclip_core.checkpoints.onnx", "demo", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, timeout=240, capture_output=True, text=True)
    assert read_card(folder).weights_digest in done.stdout
    return folder


def test_the_shipped_model_finds_the_same_on_each_sample(demo: Path) -> None:
    images = [read_radiograph(path) for path in SAMPLES]
    assert len(images) == 8

    assert assert_same(network("demo"), load(demo), images)


def test_a_checkpoint_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx", "radzero", "out"])

    with pytest.raises(SystemExit) as ended:
        onnx.main()

    assert ended.value.code == 1
    assert "no checkpoint 'radzero'" in capsys.readouterr().err


def test_missing_packages_are_named_with_the_way_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("untrained")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(OnnxExportError, match=r"onnx, onnxscript, onnxruntime.*'patchclip\[worker,onnx\]'"):
        export_onnx(model, tmp_path / "model")


def test_what_was_not_loaded_as_it_is_exported_is_refused(tmp_path: Path) -> None:
    model = network(write_checkpoint(tmp_path / "checkpoint", "patchclip"))
    hernia = load_findings()["opacity"].model_copy(update={"key": "hiatal_hernia"})

    with pytest.raises(OnnxExportError, match="hiatal_hernia: asked by text alone"):
        export_onnx(model.asking([hernia]), tmp_path / "out")
    with pytest.raises(OnnxExportError, match="is there already"):
        export_onnx(model, tmp_path / "checkpoint")


def test_a_network_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(write_checkpoint(tmp_path / "checkpoint", "patchclip"))
    bright = write_bright_onnx(tmp_path / "bright")

    class Program:
        model = SimpleNamespace(metadata_props={})

        def save(self, path: Path, external_data: bool) -> None:
            card = model.card.model_copy(update={"settings": read_card(bright).settings})
            write_graph(path.parent, card, model.finding_keys)

    monkeypatch.setattr(onnx, "_program", lambda _: Program())

    with pytest.raises(OnnxExportError, match=r"answers up to [01.]+ away from patchclip-small, where 0\.0001 is"):
        export_onnx(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bright", "checkpoint"]


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return write_bright_onnx(tmp_path / "bright")


def test_a_file_that_is_no_graph_is_named(bright: Path) -> None:
    (bright / "model.onnx").write_bytes(b"this is not a graph")
    accept(bright, read_card(bright))

    with pytest.raises(CheckpointError, match=r"model\.onnx is not a network that ONNX Runtime .* can run .*; export"):
        load(bright)


def test_a_graph_without_its_card_is_not_loaded(bright: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.onnx is a file: give the folder in which it lies beside card"):
        load(bright / "model.onnx")
    (bright / "card.json").unlink()
    with pytest.raises(CheckpointError, match=r"not a checkpoint: cannot read card\.json"):
        load(bright)


def test_a_changed_graph_is_refused(bright: Path) -> None:
    graph = bytearray((bright / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (bright / "model.onnx").write_bytes(graph)

    with pytest.raises(CheckpointError, match="not those of its card"):
        load(bright)


def test_a_graph_whose_weights_lie_elsewhere_is_refused(bright: Path) -> None:
    graph = load_model(bright / "model.onnx")
    scale = next(one for one in graph.graph.initializer if one.name == "scale")
    (bright.parent / "outside").write_bytes(scale.raw_data)
    set_external_data(scale, "../outside")
    scale.ClearField("raw_data")
    (bright / "model.onnx").write_bytes(graph.SerializeToString())
    accept(bright, read_card(bright))

    with pytest.raises(CheckpointError, match=r"is not a network that ONNX Runtime .* escapes model directory"):
        load(bright)


@pytest.mark.parametrize(
    ("keys", "names", "said"),
    [  # the findings, what input and outputs are called, and what is wrong
        (
            ["opacity"],
            ("images", "image_logits", "map_logits"),
            "image_logits are 1, and have to be 3; .* 1 x 32 x 32",
        ),
        (["edema", "pleural_effusion", "pneumothorax"], ("images", "image_logits", "map_logits"), "answers for edema"),
        (["opacity", "pleural_effusion", "pneumothorax"], ("images", "logits", "map_logits"), "it has no image_logits"),
        (["opacity", "pleural_effusion", "pneumothorax"], ("x", "image_logits", "map_logits"), "it also wants x"),
    ],
)
def test_a_graph_that_is_not_the_card_s_is_refused(bright: Path, keys: list[str], names: list[str], said: str) -> None:
    write_graph(bright, read_card(bright), keys, names)

    with pytest.raises(
        CheckpointError, match=rf"is not the network of its card\.json: .*{said}.* Export the checkpoint"
    ):
        load(bright)


def test_an_exported_network_runs_on_processors_at_its_own_size(bright: Path) -> None:
    assert runtime_of(read_card(bright)) == "onnxruntime"
    assert isinstance(load(bright, device="auto"), ExportedAnalyzer)
    with pytest.raises(CheckpointError, match="device is 'cuda', but bright-pixels is a network for processors"):
        load(bright, device="cuda")
    with pytest.raises(CheckpointError, match="bright-pixels can be opened at its own 512 px only"):
        load(bright, input_px=256)


@pytest.mark.parametrize(
    ("said", "threads"), [("3", 3), ("2,1", 2), ("", len(os.sched_getaffinity(0))), ("many", None)]
)
def test_threads_are_those_of_the_environment(
    said: str, threads: int | None, bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)

    options = open_session(bright / "model.onnx").get_session_options()

    assert options.intra_op_num_threads == (threads or len(os.sched_getaffinity(0)))
