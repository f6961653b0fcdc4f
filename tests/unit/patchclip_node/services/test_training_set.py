"""Verdicts of the page and of viewers become a training set that tells no patient, boxes where they were drawn."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydicom import dcmread

from patchclip_core.values.definitions import load_findings
from patchclip_node.audit import events
from patchclip_node.dicom.confidentiality import Deidentifier
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.verdicts import Box, Opinion, VerdictKind
from patchclip_node.services.training_set import SOURCE, TrainingSet, Written
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.label_domains import LabelState, label_of, rest_known
from patchclip_trainer.data.prepare import prepare, prepare_settings
from tests.support import readers
from tests.unit.patchclip_node.services.test_returned import EFFUSION, PLACE, UID, Site, places, site

__all__ = ["site"]
BY = events.person("rita")


def write(site: Site, folder: Path) -> Written:
    deidentifier = Deidentifier(b"k" * 32)
    return TrainingSet(
        site.ledger.studies,
        site.ledger.verdicts,
        site.spool,
        site.ledger.audit,
        site.clock,
        load_findings(),
        deidentifier,
    ).write(folder, BY)


def say(site: Site, finding: str, kind: VerdictKind, *boxes: Box) -> None:
    desk = VerdictDesk(site.ledger.studies, site.ledger.verdicts, site.clock)
    desk.give(UID, 1, Opinion(str(site.source.SOPInstanceUID), finding, kind, boxes), BY)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_lists_hold_what_readers_said_and_where_and_the_trainer_knows_what_they_looked_for(
    site: Site, tmp_path: Path
) -> None:
    say(site, "opacity", VerdictKind.ACCEPTED)
    say(site, "cardiomegaly", VerdictKind.MISSED)
    say(site, "pneumothorax", VerdictKind.MISSED)
    say(site, "pneumothorax", VerdictKind.ACCEPTED)  # the last one counts
    site.said(readers.segmentation(site.source, EFFUSION.name, [PLACE], "LABELMAP"))
    out = tmp_path / "set"

    written = write(site, out)

    assert (written.images, written.verdicts, written.boxes, written.left_out) == (1, 4, 2, [])
    manifest = adapter_for(out).read(out)
    (row,) = manifest.images
    labels = {key: label_of(row, manifest.boxes, key) for key in load_findings()}
    assert labels == dict.fromkeys(load_findings(), LabelState.UNKNOWN) | {
        "opacity": LabelState.POSITIVE,
        "cardiomegaly": LabelState.POSITIVE,
        "pleural_effusion": LabelState.POSITIVE,
        "pneumothorax": LabelState.READER_NEGATIVE,
    }
    assert rest_known(row, manifest.boxes, "pleural_effusion")
    drawn = {box.finding: [box.box.x, box.box.y, box.box.w, box.box.h, box.trust] for box in manifest.boxes}
    assert drawn["pleural_effusion"] == [*PLACE, "high"]
    (found,) = places(site)
    assert drawn["opacity"] == [*(round(value, 1) for value in found), "medium"]
    assert (len(manifest.problems), row.source) == (0, SOURCE)


def test_prepare_takes_it_and_nothing_of_the_patient_is_in_any_file_or_name(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    out, prepared = tmp_path / "set", tmp_path / "prepared"
    write(site, out)

    ready = prepare(out, prepared, adapter_for(out), prepare_settings(64), workers=1, key_file=tmp_path / "key")

    assert ready.images == 1
    said = [str(site.source[keyword].value) for keyword in ("PatientID", "PatientName", "AccessionNumber")]
    uids = [str(site.source[keyword].value) for keyword in ("SOPInstanceUID", "SeriesInstanceUID")]
    tells = [one for one in (*said, *said[1].split("^"), *uids, "rita") if len(one) > 2]
    for path in out.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [one for one in tells if one in path.name or one.encode() in content], path
    (image,) = (out / "images").iterdir()
    assert dcmread(image).PixelData == site.source.PixelData


def test_what_may_have_something_burned_in_is_left_out_and_named(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)
    (record,) = site.ledger.studies.instances(UID)
    key = record.instance.spool_key
    assert key is not None
    site.source.BurnedInAnnotation = "YES"
    with site.spool.local_path(key) as path:
        site.source.save_as(path, enforce_file_format=True)
        site.spool.files[key] = path.read_bytes()

    written = write(site, tmp_path / "set")

    assert written.images == 0
    ((uid, why),) = written.left_out
    assert (uid, "Burned In Annotation" in why) == (site.source.SOPInstanceUID, True)


def test_an_export_is_told_to_the_audit_trail_and_goes_into_a_new_folder(site: Site, tmp_path: Path) -> None:
    say(site, "opacity", VerdictKind.REJECTED)

    write(site, tmp_path / "set")

    exported = [one.event for one in site.ledger.audit.pending(0) if one.event.id.meaning == "Export"]
    assert exported[0].objects[0].id == UID
    with pytest.raises(ConfigurationError, match="is not empty"):
        write(site, tmp_path / "set")
