from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from patchclip_core.checkpoints.checkpoint import digest_of, find, load, read_card
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.card import ModelCard
from patchclip_core.models.methods.patchclip import PatchClip
from patchclip_core.models.network import is_symmetric
from patchclip_core.places.preprocess import preprocess
from patchclip_core.places.regions import find_regions, smoothed
from patchclip_core.values.definitions import Code, FindingDefinition
from patchclip_core.values.results import Analyzer, Findings, FindingState, PatchGrid, Radiograph


@pytest.fixture(scope="module")
def analyzer() -> NetworkAnalyzer:
    loaded = load("untrained", device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find("untrained"), tmp_path / "checkpoint"))


def radiograph(seed: int = 0, rows: int = 300, columns: int = 240) -> Radiograph:
    smooth = np.random.default_rng(seed).random((rows // 20, columns // 20))
    return Radiograph(np.kron(smooth, np.ones((20, 20))).astype(np.float32), remarks=(f"image {seed}",))


def asked_by_text(key: str = "hernia", threshold: float = 0.5) -> FindingDefinition:
    code = Code(value="1", scheme="99TEST", meaning="Hiatal hernia")
    return FindingDefinition(
        key=key,
        name="hiatal hernia",
        code=code,
        site=code,
        colour="#112233",
        threshold=threshold,
        positive=("hiatal hernia behind the heart",),
        negative=("no hiatal hernia",),
    )


def values(findings: Findings) -> dict[str, tuple[FindingState, float | None]]:
    return {item.key: (item.state, item.probability) for item in findings}


def rewrite(folder: Path, change_weights: Callable[[dict[str, torch.Tensor]], None] | None = None, **card: Any) -> None:
    """Change a checkpoint and make its card's digest true again."""
    content = json.loads((folder / "card.json").read_text()) | card
    if change_weights is not None:
        weights = load_file(folder / "weights.safetensors")
        change_weights(weights)
        save_file(weights, folder / "weights.safetensors")
    content["weights_digest"] = digest_of([folder / name for name in content["weights_files"]])
    (folder / "card.json").write_text(json.dumps(content))


def test_an_analyzer_speaks_of_every_finding_of_its_card(analyzer: NetworkAnalyzer) -> None:
    (findings,) = analyzer.analyze_batch([radiograph()])

    assert isinstance(analyzer, Analyzer)
    assert tuple(item.key for item in findings) == analyzer.finding_keys
    assert findings.remarks == ("image 0",)
    assert findings.model is analyzer.identity or findings.model == analyzer.identity
    for item in findings:
        assert item.probability is not None
        assert item.threshold is not None
        assert item.state is (FindingState.PRESENT if item.probability >= item.threshold else FindingState.NOT_SEEN)
        assert item.patch_map is not None
        assert item.patch_map.shape == (14, 14)
        assert item.patch_map.dtype == np.float32


def test_the_same_image_gives_the_same_result_every_time(analyzer: NetworkAnalyzer) -> None:
    first, second = (analyzer.analyze_batch([radiograph(3)])[0] for _ in range(2))

    assert values(first) == values(second)
    assert all(np.array_equal(a.patch_map, b.patch_map) for a, b in zip(first, second, strict=True))  # type: ignore[arg-type]  # never None here


def test_results_are_in_order_and_do_not_depend_on_the_batch(analyzer: NetworkAnalyzer) -> None:
    images = [radiograph(seed, rows=200 + 20 * seed) for seed in range(4)]

    together = analyzer.analyze_batch(images)

    assert [findings.remarks for findings in together] == [image.remarks for image in images]
    for image, findings in zip(images, together, strict=True):
        (alone,) = analyzer.analyze_batch([image])
        for one, other in zip(alone, findings, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-3)
        assert findings.geometry.source_rows == image.rows


def test_no_images_are_no_work(analyzer: NetworkAnalyzer) -> None:
    assert analyzer.analyze_batch([]) == []


def test_texts_are_embedded_once(analyzer: NetworkAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the texts were embedded again")

    monkeypatch.setattr(PatchClip, "encode_text", never)

    analyzer.analyze_batch([radiograph()])


def test_a_finding_asked_by_text_is_experimental_and_never_absent(analyzer: NetworkAnalyzer) -> None:
    by_text = [asked_by_text("surely", 0.0001), asked_by_text("hardly", 0.9999), asked_by_text("opacity")]
    asking = analyzer.asking(by_text)

    (findings,) = asking.analyze_batch([radiograph()])

    assert asking.finding_keys == (*analyzer.finding_keys, "surely", "hardly")
    assert findings["surely"].state is FindingState.PRESENT
    assert findings["surely"].experimental
    assert findings["hardly"].state is FindingState.NOT_EVALUATED
    assert "does not say that it is absent" in (findings["hardly"].reason or "")
    assert not findings["opacity"].experimental
    (without,) = analyzer.analyze_batch([radiograph()])
    assert findings["opacity"].probability == pytest.approx(without["opacity"].probability, abs=1e-4)


def test_an_absence_is_said_by_what_the_card_measured(checkpoint: Path) -> None:
    content = json.loads((checkpoint / "card.json").read_text())["findings"]
    known = {finding["key"]: finding for finding in content}
    for finding in content:
        sensitivity = {"value": 0.97, "low": 0.93, "high": 0.99}
        evidence = {"judged_by": "radiologists", "positives": 210, "negatives": 300, "sensitivity": sensitivity}
        finding |= {"bias": -20.0, "evidence": evidence}
    known["opacity"]["lookalikes"] = ["edema"]
    known["cardiomegaly"]["lookalikes"] = ["opacity"]
    known["edema"]["not_evaluated"] = "too few images"

    def said(**card: Any) -> dict[str, FindingState]:
        rewrite(checkpoint, findings=content, **card)
        return {item.key: item.state for item in load(checkpoint).analyze_batch([radiograph()])[0]}

    states = said()
    assert states["opacity"] is FindingState.NOT_SEEN  # edema looks like it, and is not evaluated
    assert states["cardiomegaly"] is FindingState.ABSENT
    assert states["edema"] is FindingState.NOT_EVALUATED
    assert said(useful_sensitivity=0.95)["cardiomegaly"] is FindingState.NOT_SEEN
    known["opacity"]["reported"] = False
    assert said(useful_sensitivity=0.9)["cardiomegaly"] is FindingState.NOT_SEEN


def test_a_finding_without_place_has_neither_map_nor_regions(checkpoint: Path) -> None:
    findings = json.loads((checkpoint / "card.json").read_text())["findings"]
    findings[0] |= {"extent": "image", "threshold": 0.0001, "bias": 5.0}
    rewrite(checkpoint, findings=findings)

    first = load(checkpoint, "cpu").analyze_batch([radiograph()])[0].items[0]

    assert first.state is FindingState.PRESENT
    assert first.patch_map is None
    assert first.regions == ()


def test_smoothing_of_the_card_smooths_map_regions_and_mask_of_that_finding_alone(
    analyzer: NetworkAnalyzer, checkpoint: Path
) -> None:
    findings = [finding.model_dump() for finding in read_card(checkpoint).findings]
    findings[0] |= {"smoothing_patches": 1.2, "threshold": 1e-9}
    rewrite(checkpoint, findings=findings)
    image = radiograph(rows=400)

    (plain,) = analyzer.analyze_batch([image])
    smooth = load(checkpoint, device="cpu").analyze_batch([image])[0]

    (before, unchanged_before), (after, unchanged) = plain.items[:2], smooth.items[:2]
    assert before.patch_map is not None
    assert after.patch_map is not None
    assert np.array_equal(after.patch_map, smoothed(before.patch_map, plain.geometry, 1.2))
    assert after.regions == find_regions(after.patch_map, smooth.geometry, after.region_threshold)
    assert unchanged.patch_map == pytest.approx(unchanged_before.patch_map, abs=0)


def test_smoothing_reaches_as_far_on_the_radiograph_with_tiles_as_without(checkpoint: Path) -> None:
    findings = [finding.model_dump() | {"smoothing_patches": 1.0} for finding in read_card(checkpoint).findings]
    untouched = load(checkpoint, device="cpu")
    rewrite(checkpoint, findings=findings)
    model = load(checkpoint, device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    assert isinstance(untouched, NetworkAnalyzer)

    (found,), (rough,) = (which.looking_closer().analyze_batch([radiograph()]) for which in (model, untouched))

    patch_map = rough.items[0].patch_map
    assert patch_map is not None
    assert found.items[0].patch_map == pytest.approx(smoothed(patch_map, rough.geometry, 2.0), abs=0)


def test_temperature_and_bias_of_the_card_make_the_probability(analyzer: NetworkAnalyzer, checkpoint: Path) -> None:
    card = read_card(checkpoint)
    findings = [finding.model_dump() | {"temperature": 2.0, "bias": 0.3} for finding in card.findings]
    rewrite(checkpoint, findings=findings)

    before = analyzer.analyze_batch([radiograph()])[0].items[2].probability
    after = load(checkpoint, "cpu").analyze_batch([radiograph()])[0].items[2].probability

    assert before is not None
    logit = (np.log(before / (1 - before)) - card.findings[2].bias) * card.findings[2].temperature
    assert after == pytest.approx(1 / (1 + np.exp(-(logit / 2.0 + 0.3))), abs=1e-5)


def test_a_gpu_out_of_memory_halves_the_batch_and_in_the_end_uses_the_processor(
    analyzer: NetworkAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [radiograph(seed) for seed in range(3)]
    expected = analyzer.analyze_batch(images)
    run, tried = analyzer._run, []

    def short_of_memory(network: PatchClip, batch: torch.Tensor, device: torch.device) -> Any:
        tried.append(len(batch))
        if network is analyzer._network and (len(batch) > 1 or len(tried) == 3):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return run(network, batch, device)

    monkeypatch.setattr(analyzer, "_run", short_of_memory)

    found = analyzer.analyze_batch(images)

    # 3 images fail, 2 fail, 1 fails and goes to the processor, 1 succeeds, 1 succeeds.
    assert tried == [3, 2, 1, 1, 1, 1]
    for one, other in zip(found, expected, strict=True):
        assert [item.state for item in one] == [item.state for item in other]
        assert [item.probability for item in one] == pytest.approx([item.probability for item in other], abs=1e-3)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(CheckpointError, match="no GPU can be used here"):
        load("untrained", device="cuda")
    assert isinstance(load("untrained", device="auto"), NetworkAnalyzer)


def test_foreign_weights_are_listed_by_name(checkpoint: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["patch_head.projection.weight"] = torch.zeros(3, 4)
        weights["extra.weight"] = weights.pop("logit_scale")

    rewrite(checkpoint, change)

    with pytest.raises(CheckpointError) as caught:
        load(checkpoint)
    text = str(caught.value)
    assert "missing: logit_scale" in text
    assert "unexpected: extra.weight" in text
    assert "patch_head.projection.weight: (3, 4) instead of (64, 96)" in text


def test_weights_that_are_no_safetensors_are_refused_and_never_unpickled(checkpoint: Path) -> None:
    torch.save({"logit_scale": torch.zeros(1)}, checkpoint / "weights.safetensors")
    rewrite(checkpoint)

    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(checkpoint)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda card: {"settings": card["settings"] | {"embedding": "wide"}}, "settings.embedding"),
        (lambda card: {"preprocess": card["preprocess"] | {"input_px": 480}}, "contradicts itself"),
        (lambda card: {"findings": [card["findings"][0] | {"positive": []}]}, "sentences for opacity"),
    ],
)
def test_a_card_that_cannot_be_is_refused(
    checkpoint: Path, change: Callable[[dict[str, Any]], dict[str, Any]], reason: str
) -> None:
    rewrite(checkpoint, **change(json.loads((checkpoint / "card.json").read_text())))

    with pytest.raises(CheckpointError, match=reason):
        load(checkpoint)


def test_a_changed_vocabulary_is_damage_like_changed_weights(checkpoint: Path) -> None:
    vocabulary = checkpoint / "vocabulary.json"
    vocabulary.write_text(vocabulary.read_text().replace("pleural", "plural"))

    with pytest.raises(CheckpointError, match="not those of its card"):
        load(checkpoint)


def test_what_enters_the_network_is_what_the_card_says(analyzer: NetworkAnalyzer) -> None:
    card: ModelCard = read_card(find("untrained"))

    prepared, geometry = preprocess(radiograph(), card.preprocess)

    assert prepared.shape == (1, 448, 448)
    assert geometry.grid == card.preprocess.grid


def test_a_loaded_model_does_not_hold_its_text_tower_and_reads_it_again_when_asked(checkpoint: Path) -> None:
    model = load(checkpoint, device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    whole = set(load_file(checkpoint / "weights.safetensors"))

    held = set(model.network.state_dict())
    same = model.asking(
        [
            asked_by_text().model_copy(
                update={
                    "key": "again",
                    "positive": model.card.findings[0].positive,
                    "negative": model.card.findings[0].negative,
                }
            )
        ]
    )

    assert held == {name for name in whole if not name.startswith("text_tower.")} < whole
    assert torch.allclose(same.texts[0][-1], same.texts[0][0], atol=1e-6)


def test_a_checkpoint_that_was_exchanged_meanwhile_is_not_asked(checkpoint: Path) -> None:
    model = load(checkpoint, device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    weights = load_file(checkpoint / "weights.safetensors")
    save_file({name: weight + 1 for name, weight in weights.items()}, checkpoint / "weights.safetensors")

    with pytest.raises(CheckpointError, match="has changed since the model was loaded"):
        model.asking([asked_by_text()])
    (checkpoint / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is gone"):
        model.asking([asked_by_text()])


def test_a_finding_that_is_not_reported_is_measured_but_not_spoken_of(checkpoint: Path) -> None:
    card = read_card(checkpoint)
    silent = card.findings[0].model_copy(update={"reported": False})
    rewrite(checkpoint, findings=[silent.model_dump(), *(finding.model_dump() for finding in card.findings[1:])])
    model = load(checkpoint, device="cpu")
    assert isinstance(model, NetworkAnalyzer)

    (spoken,), (measured,) = model.analyze_batch([radiograph()]), model.unabridged().analyze_batch([radiograph()])

    assert values(measured).keys() == {finding.key for finding in card.findings}
    assert values(spoken).keys() == values(measured).keys() - {silent.key}
    for key, (state, probability) in values(spoken).items():
        measured_state, measured_probability = values(measured)[key]
        assert measured_state == state
        assert measured_probability == pytest.approx(probability, rel=1e-4)


def test_a_mirrored_model_says_of_a_mirror_image_what_it_says_of_the_image(checkpoint: Path) -> None:
    rewrite(checkpoint, mirrored=True)
    model = load(checkpoint, device="cpu")
    straight = radiograph(rows=280, columns=280)

    (found,), (mirrored,) = (
        model.analyze_batch([image]) for image in (straight, Radiograph(straight.pixels[:, ::-1].copy()))
    )

    for key in model.finding_keys:
        maps = found[key].patch_map, mirrored[key].patch_map
        assert maps[0] is not None
        assert maps[1] is not None
        np.testing.assert_allclose(maps[1][:, ::-1], maps[0], atol=1e-5)
        assert mirrored[key].probability == pytest.approx(found[key].probability, abs=1e-5)


def test_a_model_whose_patches_lie_unevenly_cannot_be_mirrored() -> None:
    even, uneven = PatchGrid(14, 14, 16.0, 8.0), PatchGrid(14, 14, 16.0, 9.5)

    assert is_symmetric(even, 224)
    assert not is_symmetric(uneven, 224)
