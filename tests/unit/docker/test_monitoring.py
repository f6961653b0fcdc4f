"""Rules and dashboard ask for what a node tells; promtool takes both the rules and what the node tells."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchclip_node.domain.agreement import AgreementSource, FindingAgreement
from patchclip_node.domain.alerts import Alert, AlertKind, Condition
from patchclip_node.domain.backlog import BacklogLimit
from patchclip_node.domain.records import LedgerCounts, WorkerRole
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.steps import BOUNDS_S, Step, StepTimes
from patchclip_node.ports.alerts import ChannelRecord
from patchclip_node.ports.audit import AuditBacklog, AuditLane
from patchclip_node.services.drift import Drift
from patchclip_node.services.health import Health
from patchclip_node.web.metrics import Measured, render_metrics
from tests.support.fakes import START

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docker" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())


@pytest.fixture(scope="module")
def scrape() -> str:
    """What a node tells of which everything is known."""
    condition = Condition(AlertKind.SENDER, "no radiograph", "look", subject="ROOM")
    measured = Measured(
        counts=LedgerCounts({StudyState.RETURNED: 2}, {}, 2, START),
        due=(0, 1),
        health=Health((condition,), {WorkerRole.WORK: 1, WorkerRole.DELIVER: 1}, 0.0),
        free_bytes=2**30,
        backlog=BacklogLimit(),
        emergencies=0,
        backlogs=[AuditBacklog(AuditLane.FILE, 1, START, "")],
        times=[StepTimes(step, (0, 1, *[2] * (len(BOUNDS_S) - 1)), 5.0) for step in Step],
        oldest={StudyState.RECEIVED: START},
        drifts=[Drift("opacity", 500, True, 0.1, 0.2), Drift("effusion", 500, has_reference=False)],
        agreement=[FindingAgreement(AgreementSource.REPORT, "opacity", 1, 2, 3, 4, 5)],
        alerts=[Alert(1, condition, START, START, 1, 1)],
        channels=[ChannelRecord("mail", 1, 2, 3, "down", START)],
        now=START + timedelta(seconds=90),
    )
    return render_metrics(measured).decode()


@pytest.mark.peer("promtool")
def test_promtool_takes_the_rules_and_each_is_raised_when_it_should_be() -> None:
    for command in (
        ("check", "config", "--syntax-only", "prometheus.yaml"),
        ("check", "config", "--syntax-only", "box.yaml"),
        ("check", "rules", "rules.yaml"),
    ):
        subprocess.run(["promtool", *command], cwd=FOLDER, check=True, capture_output=True)
    tested = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yaml"], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_rule_is_tested_has_a_next_step_and_a_runbook_that_is_there() -> None:
    tested = (FOLDER / "rules_test.yaml").read_text()
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)

    for rule in RULES:
        assert len(re.findall(rf"alertname: {rule['alert']}\b", tested)) >= 2, "once silent, once raised"
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/troubleshooting.md"
        assert anchor in {one.lower().replace(" ", "-") for one in headings}
        assert rule["annotations"]["next_step"]


@pytest.mark.peer("promtool")
def test_promtool_finds_nothing_wrong_with_what_a_node_tells(scrape: str) -> None:
    found = subprocess.run(["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_rules_and_dashboard_ask_for_what_a_node_tells_alone(scrape: str) -> None:
    told = set(re.findall(r"^(patchclip_\w+)", scrape, re.MULTILINE))
    questions = [rule["expr"] for rule in RULES]
    questions += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

    asked = {name for question in questions for name in re.findall(r"\bpatchclip_\w+", question)}

    assert asked - told == set()
    steps = {step for question in questions for step in re.findall(r'step!?="(\w+)"', question)}
    assert steps <= set(Step)


def test_the_dashboard_has_each_panel_once_in_its_own_place() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places) == len(set(places))
    for x, y, w, h in places:
        assert x + w <= 24
        others = [one for one in places if one != (x, y, w, h)]
        assert not any(x < a + c and a < x + w and y < b + d and b < y + h for a, b, c, d in others), (x, y)


def test_counts_are_told_without_whose_they_are(scrape: str) -> None:
    assert "ROOM" not in scrape
    assert 'patchclip_alerts{kind="sender-quiet",level="critical"} 1.0' in scrape
    assert 'patchclip_step_seconds_bucket{le="+Inf",step="whole"} ' in scrape
    assert 'patchclip_drift_has_reference{finding="effusion"} 0.0' in scrape
    assert 'patchclip_drift_psi{finding="effusion"}' not in scrape
