"""The data folder lets in its user alone, also one that an earlier version made."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.private_folder import make_private
from patchclip_node.domain.errors import ConfigurationError


def test_a_new_folder_is_its_users_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "srv" / "node")

    assert (tmp_path / "srv" / "node").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777])
def test_others_lose_their_access_to_one_that_stands(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    make_private(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "var").touch()

    with pytest.raises(ConfigurationError, match=r"data_dir: .*var can't be kept"):
        make_private(tmp_path / "var")
