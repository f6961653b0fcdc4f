"""`verdicts import` and `verdicts agreement`: what reports say, counted by source, and what cannot be read named."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.studies import OWNER, POLICY
from tests.unit.patchclip_node.cli.conftest import Command

UID = "1.2.3"


@pytest.fixture
def analysed(ledger: SqlLedger, tmp_path: Path) -> SqlLedger:
    """A ledger with a study of which each finding was evaluated."""
    spool, clock = MemorySpool(tmp_path / "spool"), FakeClock()
    receive(ledger, spool, radiograph_file(tmp_path, "image.dcm", UID), clock.now())
    ledger.arrivals.close_quiet(clock.now(), 0)
    plan = ResultPlan({"pacs": STANDARD_VARIANTS})
    analysis = StudyAnalysis(spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), plan)
    assert AnalysisService(ledger.analyses, ledger.recalls, analysis, clock, POLICY, clock).run_one(OWNER)
    return ledger


def test_a_folder_is_imported_once_and_each_source_is_told_apart(
    command: Command, config: Path, analysed: SqlLedger, tmp_path: Path
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "one.csv").write_text(f"study_instance_uid,text\n{UID},No edema. Possible effusion.\n9.9,No edema.\n")
    (folder / ".hidden").write_text("not meant")

    first = command("verdicts", "import", folder, "--config", config)
    again = command("verdicts", "import", folder, "--config", config)

    assert (first.status, first.out.splitlines()[-1]) == (0, "1 kept, 1 of no study here")
    assert (again.status, again.out) == (0, "1 known already, 1 of no study here\n")
    told = command("verdicts", "agreement", "--config", config)
    assert told.out.startswith("by final report:\n  edema: 1 compared")
    (edema, effusion) = command("verdicts", "agreement", "--json", "--config", config).json
    assert (edema["source"], edema["finding"], effusion["unsure"]) == ("final report", "edema", 1)


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(
    command: Command, config: Path, analysed: SqlLedger, tmp_path: Path
) -> None:
    table = tmp_path / "reports.csv"
    table.write_text(f"study_instance_uid,text\n{UID},Kein Erguss.\n{UID},No edema.\n")
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")

    ended = command("verdicts", "import", table, damaged, "--config", config)

    assert (ended.status, ended.out.splitlines()[-1]) == (1, "1 refused, 1 kept, 1 not read")
    assert f"{table}:2: refused: the report is not in English" in ended.err
    assert f"{damaged}: not read: not JSON" in ended.err
    assert "Erguss" not in ended.err
