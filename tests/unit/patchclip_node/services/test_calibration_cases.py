"""Verdicts beside what one checkpoint said: whose they are is not told, and what is left out is counted."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from patchclip_core.values.judged_case import JudgedCase, name_of
from patchclip_core.values.results import ModelIdentity
from patchclip_node.audit import events
from patchclip_node.dicom.confidentiality import Deidentifier
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.domain.verdicts import VerdictKind
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.calibration_cases import OTHER_CHECKPOINT, CalibrationCases, WrittenCases
from patchclip_node.services.study_summary import read_summary
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.studies import OWNER, POLICY
from tests.support.synthetic import TRAINED, UNTRAINED
from tests.unit.patchclip_node.services.test_returned import UID, Site, site
from tests.unit.patchclip_node.services.test_training_set import rows, say
from tests.unit.patchclip_node.services.test_training_set import write as write_training_set

__all__ = ["site"]
BY = events.person("rita")


def write(site: Site, out: Path, model: ModelIdentity = UNTRAINED) -> WrittenCases:
    cases = CalibrationCases(
        site.ledger.studies, site.ledger.verdicts, site.ledger.audit, site.clock, Deidentifier(b"k" * 32)
    )
    return cases.write(out, model, BY)


def said_by_the_node(site: Site, finding: str) -> float | None:
    summary = read_summary(site.ledger.studies.revisions(UID)[-1].summary_json)
    assert summary is not None
    return next(one.probability for one in summary.images[0].findings if one.key == finding)


def analysed_again(site: Site, model: ModelIdentity) -> None:
    """Let another image of the study come, so that the whole of it is analysed by this model."""
    receive(site.ledger, site.spool, radiograph_file(site.folder, "second.dcm"), site.clock.now())
    site.ledger.arrivals.close_quiet(site.clock.now(), 0)
    plan = ResultPlan({"pacs": STANDARD_VARIANTS})
    analysis = StudyAnalysis(site.spool, FakeDecoder(), OpacityEverywhere(model), result_issuer(), plan)
    service = AnalysisService(site.ledger.analyses, site.ledger.recalls, analysis, site.clock, POLICY, site.clock)
    assert service.run_one(OWNER)


def test_a_line_has_the_last_verdict_beside_what_the_node_said(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.ACCEPTED)
    say(site, "opacity", VerdictKind.REJECTED)  # the last one counts
    say(site, "cardiomegaly", VerdictKind.MISSED)
    say(site, "pneumothorax", VerdictKind.ACCEPTED)
    out = tmp_path / "verdicts.csv"

    written = write(site, out)

    lines = {line["finding"]: line for line in rows(out)}
    assert {key: line["verdict"] for key, line in lines.items()} == {
        "opacity": "absent",
        "cardiomegaly": "present",
        "pneumothorax": "absent",
    }
    assert {key: float(line["probability"]) for key, line in lines.items()} == {
        key: said_by_the_node(site, key) for key in lines
    }
    assert {line["checkpoint"] for line in lines.values()} == {name_of(UNTRAINED)}
    assert [JudgedCase.read(line) for line in rows(out)] == list(written.cases)
    assert (written.left_out, written.patients, written.by_finding["opacity"]) == ({}, 1, (0, 1))


def test_a_patient_is_called_as_in_a_training_set_of_the_same_key_and_is_not_named(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    write_training_set(site, tmp_path / "set")

    write(site, tmp_path / "verdicts.csv")

    (line,) = rows(tmp_path / "verdicts.csv")
    (row,) = rows(tmp_path / "set" / "manifest.csv")
    assert line["patient"] == row["patient_id"]
    content = (tmp_path / "verdicts.csv").read_text(encoding="utf-8")
    said = [str(site.source[keyword].value) for keyword in ("PatientID", "PatientName", "AccessionNumber")]
    tells = [*said, *said[1].split("^"), UID, str(site.source.SOPInstanceUID), "rita"]
    assert [one for one in tells if len(one) > 2 and one in content] == []


@pytest.mark.parametrize(
    "other", [TRAINED, replace(UNTRAINED, version="0.1+12345678")], ids=["other weights", "calibrated since"]
)
def test_what_another_checkpoint_said_is_left_out_and_counted(other: ModelIdentity, site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    say(site, "pneumothorax", VerdictKind.ACCEPTED)

    written = write(site, tmp_path / "verdicts.csv", other)

    assert (written.cases, written.left_out) == ([], {OTHER_CHECKPOINT: 2})
    assert not (tmp_path / "verdicts.csv").exists()
    assert [one for one in site.ledger.audit.pending(0) if one.event.id.meaning == "Export"] == []


def test_a_verdict_counts_for_each_checkpoint_that_has_analysed_its_image(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    analysed_again(site, TRAINED)

    by = {model.name: write(site, tmp_path / f"{model.name}.csv", model) for model in (UNTRAINED, TRAINED)}

    for name, written in by.items():
        (case,) = written.cases
        assert (case.is_there, case.checkpoint.split()[0]) == (False, name)


def test_an_export_is_told_to_the_audit_trail_and_goes_into_a_new_file(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    out = tmp_path / "new" / "verdicts.csv"

    write(site, out)

    (exported,) = [one.event for one in site.ledger.audit.pending(0) if one.event.id.meaning == "Export"]
    assert exported.objects[0].id == UID
    with pytest.raises(ConfigurationError, match="is there already"):
        write(site, out)
    with out.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["patient", "finding", "probability", "verdict", "checkpoint"]
