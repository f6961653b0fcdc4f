from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchclip_core.checkpoints.checkpoint import find, load, read_card, shipped
from patchclip_core.checkpoints.untrained import write_checkpoint
from patchclip_core.io import read_radiograph
from patchclip_core.values.definitions import load_findings


def test_the_shipped_checkpoint_is_what_the_command_writes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)

    for file in find("untrained").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_it_is_shipped_small_and_says_what_it_is() -> None:
    folder = find("untrained")
    identity = read_card(folder).identity

    assert "untrained" in shipped()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3_000_000
    assert not identity.trained
    assert not identity.calibrated
    assert "mean nothing" in identity.statement


def test_it_speaks_of_every_finding_of_the_shipped_file() -> None:
    reported = tuple(key for key, finding in load_findings().items() if finding.reported)

    assert load("untrained", "cpu").finding_keys == reported


def test_its_grid_is_at_least_14_by_14() -> None:
    grid = read_card(find("untrained")).preprocess.grid

    assert min(grid.rows, grid.columns) >= 14


@pytest.mark.real_data
def test_on_real_radiographs_some_have_findings_with_a_place_and_some_have_none(real_data_dir: Path) -> None:
    paths = sorted((real_data_dir / "originals").glob("*.png"))
    model = load("untrained", "cpu")

    results = [model.analyze_batch([read_radiograph(path)])[0] for path in paths]

    present = [result.found for result in results]
    assert 0.2 < np.mean([not found for found in present]) < 0.8
    assert any(finding.regions for found in present for finding in found)
    assert len({round(result["opacity"].probability or 0.0, 3) for result in results}) > len(results) // 2
