"""The pages on adding an encoder and a method are followed: what they write is trained, stored and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.how_to import ROOT, Block, blocks_of, copy_of_packages, follow, run
from tests.support.reported import write_reported


def followed(page: str, folder: Path) -> tuple[list[Block], str]:
    """Do what a page says, on a folder of prepared data; returns its blocks and what its last program says."""
    blocks = blocks_of(page)
    copy_of_packages(folder)
    write_reported(folder / "prepared")
    follow(blocks, folder)
    for block in blocks:
        if block.language == "sh":
            for command in block.text.splitlines():
                run(command, folder)
    return blocks, run("python look.py", folder)


def changed_files(blocks: list[Block]) -> list[str]:
    return [block.title for block in blocks if block.title.startswith("patchclip_core/")]


def added_lines(blocks: list[Block]) -> int:
    return sum(line.startswith("+") for block in blocks if block.language == "diff" for line in block.text.splitlines())


def test_an_encoder_is_one_file_and_one_line_and_is_trained_and_loaded(tmp_path: Path) -> None:
    blocks, said = followed("add-an-encoder", tmp_path)

    assert changed_files(blocks) == ["patchclip_core/models/tiles.py", "patchclip_core/models/encoders.py"]
    assert added_lines(blocks) == 1
    assert "TilesImageTower" in said
    assert "rows=8, columns=8" in said
    card = json.loads((tmp_path / "out" / "checkpoint" / "card.json").read_text())
    assert card["settings"]["image_tower"] == {"kind": "tiles", "input_px": 32, "tile_px": 4, "width": 16, "layers": 1}
    assert card["preprocess"]["mean"] == [0.5]


def test_an_encoder_s_options_are_its_own(tmp_path: Path) -> None:
    copy_of_packages(tmp_path)
    follow(blocks_of("add-an-encoder"), tmp_path)
    recipe = tmp_path / "tiles.yaml"
    recipe.write_text(recipe.read_text().replace("tile_px: 4", "stride: 4"))
    build = "from pathlib import Path; from patchclip_core.checkpoints.model_recipe import read_encoders, read_recipe; "

    with pytest.raises(AssertionError, match="'tiles' have no option stride; their options are: layers, tile_px, wid"):
        run(f"python -c \"{build} read_encoders(read_recipe('tiles.yaml'), Path('out'), [])\"", tmp_path)


def test_a_method_is_one_file_and_one_line_and_is_trained_in_both_stages_and_loaded(tmp_path: Path) -> None:
    blocks, said = followed("add-a-method", tmp_path)

    assert changed_files(blocks) == [
        "patchclip_core/models/methods/plain.py",
        "patchclip_core/models/methods/__init__.py",
    ]
    assert added_lines(blocks) == 1
    assert said.startswith("plain input_px=32 embedding=16")
    parts = {key for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines() for key in json.loads(line)}
    assert {"overall", "patches"} <= parts
    assert "sparse" not in parts


@pytest.mark.parametrize("page", ["add-an-encoder", "add-a-method"])
def test_what_the_page_shows_is_in_the_house_s_style(page: str, tmp_path: Path) -> None:
    modules = [block for block in blocks_of(page) if block.language == "python" and block.title != "look.py"]
    assert modules
    for block in modules:
        for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
            command = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), "-"]
            done = subprocess.run(command, input=block.text, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
