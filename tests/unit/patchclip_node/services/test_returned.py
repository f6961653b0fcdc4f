"""Objects of readers become verdicts; what is not understood is kept and named, and none is taken for a radiograph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from patchclip_core.io import DecodeLimits
from patchclip_core.values.definitions import load_findings
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import ForeignResultError, NodeError, UnreadableInstanceError
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.records import Arrival
from patchclip_node.domain.returned import ReadObject
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.domain.verdicts import Box, Verdict, VerdictKind, VerdictSource
from patchclip_node.rendering.statements import statements
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.returned import ReturnedService
from patchclip_node.services.study_summary import read_summary
from patchclip_node.services.urgency import UrgencyQuota
from tests.support import readers
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, MemorySpool, make_ledger
from tests.support.readers import READER, code_of
from tests.support.studies import OWNER, POLICY

UID = "1.2.3"
OPACITY, EFFUSION = load_findings()["opacity"], load_findings()["pleural_effusion"]
PLACE = (8, 60, 30, 40)
LIMITS = DecodeLimits()


def read_here(path: Path, images: Sequence[Path]) -> ReadObject:
    """Read in this process; the child that does it in a worker has its own test."""
    try:
        return statements(path, images, LIMITS)
    except NodeError as error:
        raise UnreadableInstanceError(str(error)) from error


@dataclass
class Site:
    folder: Path
    ledger: SqlLedger
    spool: MemorySpool
    clock: FakeClock
    source: Dataset

    def send(self, dataset: Dataset) -> Arrival:
        """Send an object as an archive does."""
        path = self.spool.incoming_dir() / "sent.dcm"
        dataset.save_as(path, enforce_file_format=True)
        service = ReceiveService(self.spool, self.ledger.arrivals, self.clock, read_header, 10**8, UrgencyQuota(1))
        uids = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
        return service.receive(path, "ARCHIVE", "PATCHCLIP", "127.0.0.1", *uids)

    def read(self) -> int:
        return ReturnedService(
            self.ledger.studies, self.ledger.returned, self.spool, self.clock, load_findings(), read_here
        ).run_once()

    def said(self, dataset: Dataset) -> list[Verdict]:
        assert self.send(dataset) is Arrival.OF_A_READER
        assert self.read() == 1
        return self.ledger.verdicts.of_study(UID)

    @property
    def note(self) -> str:
        return self.ledger.studies.instances(UID)[-1].image_reason or ""

    def result(self, kind: str) -> Dataset:
        (key,) = [
            one.result.spool_key
            for study in self.ledger.studies.revisions(UID)
            for one in self.ledger.studies.results(study.id)
            if one.result.kind.value == kind
        ]
        with self.spool.local_path(key) as path:
            return dcmread(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node that has found an opacity in an image of 96 x 128 pixels, and no effusion."""
    ledger, spool, clock = make_ledger(tmp_path), MemorySpool(tmp_path / "spool"), FakeClock()
    path = radiograph_file(tmp_path, "image.dcm", Rows=128, Columns=96, PixelData=b"\0" * (2 * 128 * 96))
    source = dcmread(path)
    receive(ledger, spool, path, clock.now())
    ledger.arrivals.close_quiet(clock.now(), 0)
    analysis = StudyAnalysis(
        spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), ResultPlan({"pacs": STANDARD_VARIANTS})
    )
    assert AnalysisService(ledger.analyses, ledger.recalls, analysis, clock, POLICY, clock).run_one(OWNER)
    return Site(tmp_path, ledger, spool, clock, source)


def places(site: Site) -> list[tuple[float, float, float, float]]:
    """Return where the node found the opacity."""
    summary = read_summary(site.ledger.studies.revisions(UID)[-1].summary_json)
    assert summary is not None
    regions = next(one.regions for one in summary.images[0].findings if one.key == "opacity")
    return [(one.x, one.y, one.w, one.h) for one in regions]


Made = Callable[[Dataset, Code, str], Dataset]
REGIONS: dict[str, tuple[VerdictSource, Made]] = {
    "segmentation": (
        VerdictSource.SEGMENTATION,
        lambda source, code, _: readers.segmentation(source, "anything", [PLACE], "BINARY", code),
    ),
    "label map": (
        VerdictSource.SEGMENTATION,
        lambda source, _, name: readers.segmentation(source, name.title(), [PLACE], "LABELMAP"),
    ),
    "report": (VerdictSource.REPORT, lambda source, code, _: readers.report(source, code, PLACE)),
    "presentation state": (
        VerdictSource.PRESENTATION_STATE,
        lambda source, _, name: readers.presentation_state(source, name, PLACE),
    ),
}


@pytest.mark.parametrize("made", REGIONS)
def test_a_region_corrects_what_was_found_and_names_what_was_missed(site: Site, made: str) -> None:
    source, make = REGIONS[made]

    (first,) = site.said(make(site.source, code_of(OPACITY), OPACITY.name))
    (_, second) = site.said(make(site.source, code_of(EFFUSION), EFFUSION.name))

    for verdict, kind, finding in (
        (first, VerdictKind.CORRECTED, "opacity"),
        (second, VerdictKind.MISSED, EFFUSION.key),
    ):
        assert (verdict.said.opinion.kind, verdict.said.opinion.finding) == (kind, finding), site.note
        assert verdict.said.opinion.boxes == (Box(*PLACE),)
        assert verdict.said.source is source
        assert verdict.said.source_uid
    assert "pleural_effusion missed" in site.note


def test_a_region_where_the_node_has_it_accepts_the_finding(site: Site) -> None:
    (place,) = places(site)
    rounded = (round(place[0]), round(place[1]), round(place[2]), round(place[3]))

    (verdict,) = site.said(readers.report(site.source, code_of(OPACITY), rounded))

    assert verdict.said.opinion.kind is VerdictKind.ACCEPTED
    assert verdict.said.by == READER


@pytest.mark.parametrize(
    ("finding", "state", "kind"),
    [
        (OPACITY, codes.PRESENT, VerdictKind.ACCEPTED),
        (OPACITY, codes.ABSENT, VerdictKind.REJECTED),
        (EFFUSION, codes.PRESENT, VerdictKind.MISSED),
        (EFFUSION, codes.ABSENT, VerdictKind.ACCEPTED),
    ],
)
def test_an_evaluation_without_a_place_says_whether_it_is_there(
    site: Site, finding: object, state: Code, kind: VerdictKind
) -> None:
    (verdict,) = site.said(readers.report(site.source, code_of(finding), None, state))  # type: ignore[arg-type]

    assert (verdict.said.opinion.kind, verdict.said.opinion.boxes) == (kind, ())


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        (codes.REJECTED_FOR_QUALITY, VerdictKind.REJECTED),
        (codes.QUALITY_ISSUE, VerdictKind.REJECTED),
        (codes.FOR_REPORT_ATTACHMENT, VerdictKind.ACCEPTED),
    ],
)
def test_key_objects_judge_the_results_that_they_name(site: Site, title: Code, kind: VerdictKind) -> None:
    (verdict,) = site.said(readers.key_objects(title, [site.result("seg")]))

    assert (verdict.said.opinion.kind, verdict.said.opinion.finding) == (kind, "opacity")
    assert verdict.said.by == "a reader at ARCHIVE"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda site: readers.segmentation(site.source, "Liver", [PLACE], "BINARY"), "Liver is not a finding"),
        (lambda site: readers.key_objects(codes.OF_INTEREST, [site.source]), "it says nothing of a finding"),
        (lambda site: readers.key_objects(codes.QUALITY_ISSUE, [site.source]), "it names none of this node's results"),
    ],
)
def test_what_is_not_understood_is_kept_and_named(site: Site, make: Callable[[Site], Dataset], why: str) -> None:
    sent = make(site)

    assert site.said(sent) == []

    record = site.ledger.studies.instances(UID)[-1]
    assert why in site.note
    assert record.instance.spool_key in site.spool.files
    assert (record.own_result, record.revision) == (True, 0)


def test_an_object_revises_nothing_is_read_once_and_leaves_with_its_study(site: Site) -> None:
    sent = readers.report(site.source, code_of(EFFUSION), PLACE)
    before = site.ledger.studies.revisions(UID)

    assert len(site.said(sent)) == 1

    assert site.ledger.studies.revisions(UID) == before
    assert site.read() == 0
    assert site.send(sent) is Arrival.DUPLICATE
    received = [one.event.id.meaning for one in site.ledger.audit.pending(0)]
    assert received.count("DICOM Instances Transferred") == 2  # the images, and the object


def test_an_object_of_a_study_that_is_not_here_is_refused(site: Site) -> None:
    sent = readers.report(site.source, code_of(EFFUSION), PLACE)
    sent.StudyInstanceUID = "1.2.99"

    with pytest.raises(ForeignResultError, match="this study is not here"):
        site.send(sent)


def test_an_object_waits_while_its_study_is_under_way(site: Site, tmp_path: Path) -> None:
    other = radiograph_file(tmp_path, "other.dcm", "1.2.88")
    receive(site.ledger, site.spool, other, site.clock.now())
    sent = readers.key_objects(dictionary.DCM.OfInterest, [dcmread(other)])

    assert site.send(sent) is Arrival.OF_A_READER
    assert site.read() == 0
    assert len(site.ledger.returned.unread(10)) == 1
