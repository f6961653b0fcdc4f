"""docs/how-to/add-an-adapter.md, followed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from patchclip_core.io.polarity import looks_inverted
from patchclip_trainer.cli import main
from patchclip_trainer.data import adapters
from patchclip_trainer.data.label_domains import LabelState, label_of, load_label_domains
from patchclip_trainer.data.shards import open_prepared
from tests.support.docs import fenced, in_code, page

PAGE = page("docs/how-to/add-an-adapter.md")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's data set, with its adapter registered as the page says; the current folder is beside it."""
    names: dict[str, Any] = {}
    (module,) = fenced(PAGE, "python")
    exec(compile(module, "docs/how-to/add-an-adapter.md", "exec"), names)
    monkeypatch.setattr(adapters, "ADAPTERS", (*adapters.ADAPTERS[:-2], names["WARD_READS"], *adapters.ADAPTERS[-2:]))
    folder = tmp_path / "SOURCE"
    (folder / "frames").mkdir(parents=True)
    (reads,) = fenced(PAGE, "csv")
    (folder / "reads.csv").write_text(reads, encoding="utf-8")
    for seed, name in enumerate(["a.png", "b.png", "c.png"]):
        coarse = np.random.default_rng(seed + 10).integers(0, 255, (6, 6), dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC))
        upright = 255 - pixels if looks_inverted(pixels.astype(np.float32) / np.float32(255)) else pixels
        Image.fromarray(upright).save(folder / "frames" / name)
    monkeypatch.chdir(tmp_path)
    return folder


def test_prepare_recognises_the_folder_and_gives_what_the_page_says(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = fenced(PAGE, "sh")
    monkeypatch.setattr("sys.argv", line.split())

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code in {0, None}
    data = open_prepared(Path("prepared"))
    with Path("prepared/problems.csv").open(encoding="utf-8") as file:
        problems = [f"{row['file']}:{row['line']} {row['kind']}" for row in csv.DictReader(file)]
    said = " ".join(PAGE.split("`prepared/` holds")[1].split("\n\n")[0].split())
    assert said.startswith(f"{['no', 'one', 'two', 'three'][len(data.rows)]} images and one box")
    assert sum(len(data.boxes_of(index)) for index in range(len(data.rows))) == 1
    assert [code for code in in_code(said) if ":" in code] == problems
    domains = load_label_domains(with_the_page_s_source(source.parent))
    states = {row.image: label_of(row, (), "pleural_effusion", domains) for row in data.rows}
    assert states == {"frames/a.png": LabelState.POSITIVE, "frames/c.png": LabelState.READER_NEGATIVE}


def with_the_page_s_source(folder: Path) -> Path:
    """Write the shipped label domains with the page's source added."""
    (added,) = fenced(PAGE, "yaml")
    content = yaml.safe_load(page("conf/label_domains.yaml"))
    content["labels"] |= yaml.safe_load(added)["labels"]
    file = folder / "domains.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file
