"""A node's analysis with all that it works on, made of fakes and a ledger in a temporary file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.study_summary import StudySummary
from patchclip_node.settings import DestinationSettings, NodeSettings, ProfileSettings, RouteSettings
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.studies import OWNER, POLICY, only_revision

PACS = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
SEG_ONLY = DestinationSettings(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=105, objects=(ResultKind.SEG,))


@dataclass
class Bench:
    """A service with all that it works on."""

    folder: Path
    ledger: SqlLedger
    spool: MemorySpool
    decoder: FakeDecoder = field(default_factory=FakeDecoder)
    analyzer: OpacityEverywhere = field(default_factory=OpacityEverywhere)
    clock: FakeClock = field(default_factory=FakeClock)
    destinations: tuple[DestinationSettings, ...] = (PACS,)
    profiles: tuple[ProfileSettings, ...] = ()
    routes: tuple[RouteSettings, ...] = ()
    attempts: int = 3
    finished: list[StudyState] = field(default_factory=list)
    """In which state the study was each time that results were said to be there."""

    def run_one(self) -> bool:
        settings = NodeSettings(destinations=self.destinations, profiles=self.profiles, routes=self.routes)
        analysis = StudyAnalysis(self.spool, self.decoder, self.analyzer, result_issuer(), settings.result_plan)
        policy = replace(POLICY, analysis_attempts=self.attempts, backoff_s=10)
        return AnalysisService(
            self.ledger.analyses,
            self.ledger.recalls,
            analysis,
            self.clock,
            policy,
            self.clock,
            lambda: self.finished.append(self.study().state),
        ).run_one(OWNER)

    def study(self) -> StudyRecord:
        return only_revision(self.ledger)

    def arrive(self, name: str = "one.dcm", **attributes: Any) -> str:
        """Let an image of study 1.2.3 arrive; returns its SOP Instance UID."""
        path = radiograph_file(self.folder, name, **attributes)
        received = receive(self.ledger, self.spool, path, self.clock.now())
        if name in self.decoder.troubles:
            assert received.spool_key is not None
            self.decoder.troubles[received.spool_key] = self.decoder.troubles[name]
        self.ledger.arrivals.close_quiet(self.clock.now(), 0)
        return received.header.sop_instance_uid


def summary_of(study: StudyRecord) -> StudySummary:
    assert study.summary_json is not None
    return StudySummary.model_validate_json(study.summary_json)
