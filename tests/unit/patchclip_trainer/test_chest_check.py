"""The pixel check is made of chests alone, measured on those that did not make it, and read back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.io.likeness import PICTURE_PX, features, load_likeness
from patchclip_core.values.results import FloatArray
from patchclip_trainer.chest_check import Chests, as_markdown, as_yaml, make_check, read_others
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError

COUNT = 1100


def likenesses(count: int) -> FloatArray:
    """Two dark lungs beside a bright middle, each with other noise."""
    down, right = np.mgrid[0:PICTURE_PX, 0:PICTURE_PX] / PICTURE_PX
    lungs = [((right - x) / 0.15) ** 2 + ((down - 0.45) / 0.3) ** 2 < 1 for x in (0.3, 0.7)]
    chest = 0.8 - 0.5 * (lungs[0] | lungs[1])
    noise = np.random.default_rng(1).normal(0, 0.1, (count, *chest.shape))
    return np.asarray(np.clip(chest + noise, 0, 1), dtype=np.float32)


def chests(count: int = COUNT, licence: str = "open") -> Chests:
    rows = [ImageRow(f"{at}.png", f"p{at // 2}", "train", "here", licence) for at in range(count)]
    return Chests(likenesses(count), tuple(rows))


def test_a_check_tells_chests_from_what_is_made_of_them_and_is_read_as_written(tmp_path: Path) -> None:
    found = make_check(chests(), {"black": np.zeros((3, PICTURE_PX, PICTURE_PX), dtype=np.float32)})
    path = tmp_path / "chest_check.yaml"
    path.write_text(as_yaml(found))
    read = load_likeness(path)

    assert found.lost["all"].count <= COUNT // 1000
    assert found.seen["black"].count == 3
    assert found.seen["chest, turned by 180 degrees"].count > 450
    assert "| black | 3 of 3 (" in as_markdown(found)
    one = likenesses(1)
    assert read.score(one[0]) == pytest.approx(found.discriminant.scores(features(one))[0], abs=1e-3)
    assert read.threshold == pytest.approx(found.threshold, abs=1e-4)


@pytest.mark.parametrize(("count", "licence"), [(500, "open"), (COUNT, "cc-nc")])
def test_too_few_open_chests_make_no_threshold(count: int, licence: str) -> None:
    with pytest.raises(DataError, match="give more"):
        make_check(chests(count, licence), {})


def test_others_are_read_by_kind_and_what_cannot_be_is_listed(tmp_path: Path) -> None:
    (tmp_path / "hands").mkdir()
    Image.new("L", (80, 90), 7).save(tmp_path / "hands" / "a.png")
    (tmp_path / "hands" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    kinds, refused = read_others(tmp_path)

    assert kinds["hands"].shape == (1, PICTURE_PX, PICTURE_PX)
    assert [line.split(":")[0] for line in refused] == ["hands/b.png"]
