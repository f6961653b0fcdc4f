"""Whoever reads YAML says what is wrong with it in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from patchclip_core.checkpoints.model_recipe import read_recipe
from patchclip_core.errors import CheckpointError, FindingsFileError, WordingFileError
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.wording import load_wordings
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.errors import DataError, RecipeError
from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe


def _wordings(path: Path) -> Any:
    return load_wordings(path.parent)


READERS = [
    (read_settings, ConfigurationError),
    (load_findings, FindingsFileError),
    (_wordings, WordingFileError),
    (read_recipe, CheckpointError),
    (read_stage2_recipe, RecipeError),
    (load_label_domains, DataError),
]


@pytest.mark.parametrize(("read", "error"), READERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "is not valid YAML"),
        ("name: a\nname: b", "xx.yaml, line 2: the key 'name' is given twice (first in line 1)"),
        ("zzzz: 1", "zzzz: "),
        ("- a", "must hold 'key: value' lines"),
        ("on: 1", "the key True is not text"),
    ],
)
def test_every_reader_says_it_in_the_same_way(
    read: Any, error: type[Exception], text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "xx.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(error) as refused:
        read(tmp_path / "xx.yaml")

    assert said in str(refused.value)
    assert str(tmp_path / "xx.yaml") in str(refused.value)


@pytest.mark.parametrize(("read", "error"), [pair for pair in READERS if pair[0] is not _wordings])
def test_a_file_that_is_not_there_is_named(read: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match=r"nothing\.yaml"):
        read(tmp_path / "nothing.yaml")
