"""What becomes of an image whose pixels do not look like a chest, by the setting, and in which words it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_core.io.likeness import REASON, REMARK
from patchclip_core.values.wording import load_wordings
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.results.phrases import Phrases
from patchclip_node.services.analyse import Analysed, Rejected, StudyImage, StudyOutcome, analyse_instances
from tests.peers.radiographs import radiograph
from tests.support.analysis import OpacityEverywhere
from tests.support.marked import InThisProcess
from tests.support.synthetic import result_context

SAMPLE = next(iter(sorted((Path(__file__).parents[5] / "node/patchclip_node/samples").rglob("*.dcm"))))
CR = "1.2.840.10008.5.1.4.1.1.1"


def outcome_of(path: Path, check: PixelCheck) -> StudyOutcome:
    image = StudyImage(path, CR, "1.2.3")
    return analyse_instances([image], InThisProcess(), OpacityEverywhere(), result_context(), pixel_check=check)


@pytest.fixture
def not_a_chest(tmp_path: Path) -> Path:
    path = tmp_path / "stripes.dcm"
    dataset = radiograph()
    dataset.PixelData = (b"\x00\x00\xff\x0f" * (dataset.Rows * dataset.Columns))[: 2 * dataset.Rows * dataset.Columns]
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(("check", "said"), [(PixelCheck.OFF, False), (PixelCheck.REMARK, True)])
def test_an_image_that_does_not_look_like_a_chest_is_analysed_and_it_is_said_where_it_is_asked(
    not_a_chest: Path, check: PixelCheck, said: bool
) -> None:
    outcome = outcome_of(not_a_chest, check)

    assert isinstance(outcome, Analysed)
    assert (REMARK in Phrases().remarks(outcome.images[0].result)) == said


def test_it_is_rejected_with_the_reason_where_the_setting_says_so(not_a_chest: Path) -> None:
    outcome = outcome_of(not_a_chest, PixelCheck.REJECT)

    assert isinstance(outcome, Rejected)
    assert outcome.reason == REASON


@pytest.mark.parametrize("check", list(PixelCheck))
def test_a_chest_is_analysed_without_a_word_whatever_the_setting(check: PixelCheck) -> None:
    outcome = outcome_of(SAMPLE, check)

    assert isinstance(outcome, Analysed)
    assert REMARK not in Phrases().remarks(outcome.images[0].result)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_remark_and_reason_are_said_in_each_language(language: str) -> None:
    wording = load_wordings()[language]

    assert wording.repeat(REMARK) != REMARK
    assert wording.repeat(REASON) != REASON
