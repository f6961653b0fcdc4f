"""The digests that show whether a change of the code changed a result."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import patchclip_core
from patchclip_core.values.results import Analyzer, Findings, Radiograph
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.settings import SHIPPED_PROFILES
from tools.result_digests import digests, every_variant, main

SAMPLE = Path(__file__).parents[3] / "node" / "patchclip_node" / "samples" / "sample-1-cr.dcm"
TWO = [ResultVariant(ResultKind.SR), ResultVariant(ResultKind.TEXT_SR, language="de")]


class OtherVersion:
    """The same model under another version: the smallest change that every object shows."""

    def __init__(self, model: Analyzer) -> None:
        self._model = model
        self.identity = dataclasses.replace(model.identity, version="other")
        self.finding_keys = model.finding_keys

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        found = self._model.analyze_batch(radiographs)
        return [dataclasses.replace(findings, model=self.identity) for findings in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(SAMPLE, tmp_path)
    (tmp_path / "damaged.dcm").write_bytes(b"not DICOM")
    return tmp_path


def test_the_same_code_prints_the_same_lines_and_another_model_changes_each_object(folder: Path) -> None:
    model = patchclip_core.load("untrained")

    first, again = (list(digests([folder], model, TWO)) for _ in range(2))
    other = list(digests([folder], OtherVersion(model), TWO))

    assert first == again
    assert [line.split()[:2] for line in first] == [
        ["damaged.dcm", "unreadable"],
        [SAMPLE.name, "0"],
        [SAMPLE.name, "1"],
        [SAMPLE.name, "overlay"],
        [SAMPLE.name, "json"],
    ]
    assert [line for line in first if line in other] == first[:1]


def test_every_kind_of_each_shipped_profile_is_among_the_variants() -> None:
    variants = every_variant()

    assert len(set(variants)) == len(variants)
    assert {variant for profile in SHIPPED_PROFILES for variant in profile.variants()} <= set(variants)


@pytest.mark.parametrize("arguments", [[], ["no/such/folder"]])
def test_without_a_folder_it_says_how_it_is_used(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["result_digests.py", *arguments])

    assert main() == 2
    assert "usage: python tools/result_digests.py FOLDER" in capsys.readouterr().err
