"""Pixels in tar shards are those of the mapped file, can be read by others, and damage is named."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_trainer.data import prepare as module
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.data.shards import Decoded, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.data.stores import StoreKind
from patchclip_trainer.data.together import open_together
from patchclip_trainer.errors import DataError
from tests.support.squares import write_squares

SETTINGS = prepare_settings(64)
LISTS = ("rows.jsonl", "boxes.jsonl", "data_sheet.json", "problems.csv")


def run(source: Path, out: Path, store: StoreKind, progress: Callable[[int, int], None] = lambda _a, _b: None) -> None:
    prepare(source, out, GENERIC, SETTINGS, workers=1, store=store, progress=progress)


@pytest.fixture(autouse=True)
def three_images_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_IMAGES", 3)


def test_both_stores_hold_the_same_images_lists_and_checksums(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "mapped", "mapped")
    run(generic_source, tmp_path / "tar", "tar")

    mapped, tar = open_prepared(tmp_path / "mapped"), open_prepared(tmp_path / "tar")

    assert sorted(path.name for path in (tmp_path / "tar").glob("images*")) == [
        "images-000000.tar",
        "images-000001.tar",
    ]
    assert (mapped.streamed, tar.streamed) == (False, True)
    assert np.array_equal(np.asarray(tar.images), np.asarray(mapped.images))
    assert np.array_equal(tar.images[np.array([3, 0, 3])], mapped.images[np.array([3, 0, 3])])
    assert np.array_equal(tar.images[2, 5:9, ::-1], mapped.images[2, 5:9, ::-1])
    assert [shard.sha256 for shard in tar.shards] == [shard.sha256 for shard in mapped.shards]
    assert tar.shard_of.tolist() == [0, 0, 0, 1]
    tar.verify()
    for name in LISTS:
        assert (tmp_path / "tar" / name).read_bytes() == (tmp_path / "mapped" / name).read_bytes()


def test_any_program_reads_a_shard_whose_members_are_lines_of_the_list(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "tar", "tar")
    images = open_prepared(tmp_path / "tar").images

    for path in sorted((tmp_path / "tar").glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                with Image.open(file) as picture:
                    assert np.array_equal(np.asarray(picture), images[int(Path(member.name).stem)])


def test_what_was_stopped_goes_on_after_its_last_whole_shard(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "whole", "tar")

    def stop(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(generic_source, tmp_path / "out", "tar", stop)
    (tmp_path / "out" / "images-000001.tar").write_bytes(b"half a shard")
    steps: list[int] = []
    run(generic_source, tmp_path / "out", "tar", lambda done, _total: steps.append(done))

    assert steps == [3, 4]
    for path in (tmp_path / "whole").glob("images-*"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("first", "then"), [("mapped", "tar"), ("tar", "mapped")])
def test_another_store_in_the_same_folder_leaves_nothing_of_the_first(
    first: StoreKind, then: StoreKind, generic_source: Path, tmp_path: Path
) -> None:
    run(generic_source, tmp_path / "out", first)
    run(generic_source, tmp_path / "out", then)
    run(generic_source, tmp_path / "fresh", then)

    names = {path.name for path in (tmp_path / "fresh").iterdir()}
    kept = {path.name for path in (tmp_path / "out").iterdir() if path.stat().st_size}
    assert kept == names


def test_sets_in_either_store_are_taken_as_one(generic_source: Path, tmp_path: Path) -> None:
    write_squares(tmp_path / "squares", side=64)
    run(generic_source, tmp_path / "tar", "tar")

    data = open_together((tmp_path / "tar", tmp_path / "squares"))

    assert data.streamed
    assert np.array_equal(data.images[[0, 20]], np.stack([open_prepared(tmp_path / "tar").images[0], data.images[20]]))
    data.verify()


@pytest.mark.parametrize("damage", ["cut", "bytes", "missing"])
def test_a_damaged_shard_is_named_with_what_to_do(damage: str, generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "tar", "tar")
    shard = tmp_path / "tar" / "images-000001.tar"
    content = bytearray(shard.read_bytes())
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(content[:700])
    else:
        content[600:700] = bytes(100)
        shard.write_bytes(content)

    with pytest.raises(DataError, match=r"images-000001\.tar.*(copy|prepare once more)"):
        open_prepared(tmp_path / "tar").verify()


def test_images_of_another_size_are_not_taken_and_none_at_all_are_no_error(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "tar", SETTINGS, "x", "tar")

    with pytest.raises(ValueError, match="prepared size"):
        writer.append([Decoded(0, SourceSize(32, 32), np.zeros((32, 32), np.uint8))], (), 1)
    writer.append([], (), 1)

    assert writer.images().shape == (0, 64, 64)
