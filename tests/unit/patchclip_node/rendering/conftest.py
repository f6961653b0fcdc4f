"""The radiograph with a bright rectangle, and each kind of result that the node makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_core.checkpoints.checkpoint import load
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results import encode
from patchclip_node.services.analyse import Analysed, StudyImage, analyse_instances
from tests.peers.radiographs import radiograph, write
from tests.support.rendered import (
    COLUMNS,
    ROWS,
    Files,
)
from tests.support.synthetic import result_context


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[ResultKind | str, Path]:
    """A radiograph with a bright rectangle, under "image", and each kind of result that the node makes of it."""
    folder = tmp_path_factory.mktemp("render")
    dataset = radiograph(bright=True, rows=ROWS, columns=COLUMNS)
    files: dict[ResultKind | str, Path] = {"image": write(dataset, folder / "image.dcm")}
    variants = [ResultVariant.usual(kind) for kind in ResultKind]
    checkpoint = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"
    image = StudyImage(files["image"], str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    outcome = analyse_instances([image], Files(), load(checkpoint, "cpu"), result_context(), variants)
    assert isinstance(outcome, Analysed)
    for variant, result in outcome.results:
        files[variant.kind] = folder / f"{variant.kind.value}.dcm"
        files[variant.kind].write_bytes(encode(result))
    return files


@pytest.fixture
def unlabelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label stands at the edge of what it names, in its colour: leave it out where edges are measured."""
    monkeypatch.setattr("patchclip_node.rendering.paint.draw_labels", lambda *_: None)
