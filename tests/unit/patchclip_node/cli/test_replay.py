"""`studies replay`: what another model would tell is said and shown, the ledger stays as it is, the look is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from patchclip_core.values.results import Analyzer
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.common import open_spool
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.settings import read_settings
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, make_instance
from tests.support.marked import Says
from tests.support.studies import OWNER, POLICY
from tests.unit.patchclip_node.cli.conftest import Command

UID = "1.2.3"


@pytest.fixture
def analysed(config: Path, ledger: SqlLedger, tmp_path: Path) -> SqlLedger:
    """A ledger with a study of which opacity was found, and one that was not analysed yet."""
    spool, clock = open_spool(read_settings(config)), FakeClock()
    receive(ledger, spool, radiograph_file(tmp_path, "image.dcm", UID), clock.now())
    ledger.arrivals.close_quiet(clock.now(), 0)
    plan = ResultPlan({"pacs": STANDARD_VARIANTS})
    analysis = StudyAnalysis(spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), plan)
    assert AnalysisService(ledger.analyses, ledger.recalls, analysis, clock, POLICY, clock).run_one(OWNER)
    ledger.arrivals.record(make_instance("1.9"))
    return ledger


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Analyzer:
    """Another model, which sees an effusion instead."""
    analyzer = Says({"pleural_effusion": [(3, 3, 3, 3)]})
    monkeypatch.setattr("patchclip_node.bootstrap.model.load_analyzer", lambda _: analyzer)
    return analyzer


def test_what_a_reader_would_be_told_otherwise_is_said_counted_and_shown(
    command: Command, config: Path, analysed: SqlLedger, other: Analyzer, tmp_path: Path
) -> None:
    before = analysed.studies.revisions(UID)

    ended = command("studies", "replay", "--model", "other", "--out", tmp_path / "changed", "--config", config)

    assert ended.status == 0, ended.err
    assert re.search(rf"^{UID}: pleural_effusion: .* -> present", ended.out, re.MULTILINE)
    assert "1.9: nothing of it was analysed before" in ended.out
    assert "in 1 of them a reader would be told something else" in ended.out
    document = json.loads((tmp_path / "changed" / "replay.json").read_text())
    (study,) = [one for one in document["studies"] if one["study_instance_uid"] == UID]
    changed = {one["finding"] for image in study["images"] for one in image["findings"] if one["changed"]}
    assert {"opacity", "pleural_effusion"} <= changed
    assert analysed.studies.revisions(UID) == before
    assert any(one.event.id.meaning == "Export" for one in analysed.audit.pending(0))


def test_the_page_names_findings_counts_what_changed_and_shows_changed_studies_first(
    command: Command, config: Path, analysed: SqlLedger, other: Analyzer, tmp_path: Path
) -> None:
    command("studies", "replay", "1.9", UID, "--model", "other", "--out", tmp_path / "changed", "--config", config)

    page = (tmp_path / "changed" / "replay.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.index(f">{UID} ") < page.index(">1.9 ")
    assert re.search(r"<td>pleural effusion</td>\s*<td[^>]*>1</td>\s*<td[^>]*>0</td>", page)  # told in one more study
    assert re.search(r"<td>lung opacity</td>\s*<td[^>]*>0</td>\s*<td[^>]*>1</td>", page)  # told in one study less
    assert "pleural_effusion" not in page


def test_an_unknown_study_is_named_and_the_others_are_replayed(
    command: Command, config: Path, analysed: SqlLedger, other: Analyzer
) -> None:
    ended = command("studies", "replay", "7.7", UID, "--model", "other", "--config", config)

    assert (ended.status, "7.7" in ended.err) == (1, True)
    assert "1 studies by" in ended.out
    assert any(one.event.id.meaning == "DICOM Instances Accessed" for one in analysed.audit.pending(0))
