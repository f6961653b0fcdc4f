from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "node" / "patchclip_node" / "samples" / "sample-1-cr.dcm"


def test_the_tutorials_code_runs_and_draws_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    shutil.copy(SAMPLE, tmp_path / "chest.dcm")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/tutorial.md, block {number}", "exec"), names)

    assert len(blocks) >= 8
    picture = Image.open(tmp_path / "findings.png")
    assert picture.width > 1000
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100
    assert names["asked"]["hiatal_hernia"].experimental
