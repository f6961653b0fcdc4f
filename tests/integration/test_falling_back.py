"""A destination that stores pictures alone: what is refused there is replaced, over a real association."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from patchclip_node.domain.records import DeliveryState, FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from patchclip_node.scu.sender import DicomResultSender
from tests.peers.archive import Archive
from tests.support.fakes import START, FakeClock, MemorySpool, make_instance, make_ledger, make_result
from tests.support.lanes import lane
from tests.support.studies import LEASE_S, OWNER, POLICY, only_revision
from tests.support.synthetic import analysed, result_context, with_overlay

PICTURE = ResultVariant(ResultKind.SC)


@pytest.mark.parametrize("promised", [STANDARD_VARIANTS, (*STANDARD_VARIANTS, PICTURE)])
def test_a_destination_that_stores_pictures_alone_gets_pictures(
    promised: tuple[ResultVariant, ...], tmp_path: Path
) -> None:
    ledger, spool = make_ledger(tmp_path), MemorySpool(tmp_path / "spool")
    ledger.arrivals.record(make_instance("1.2.3"))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    image = with_overlay(analysed({"opacity": [(3, 3, 3, 3)]}))
    built = build_results([image], [], result_context(), (*STANDARD_VARIANTS, PICTURE))
    results = [
        make_result(str(dataset.SOPInstanceUID), variant.kind, spool.write([encode(dataset)]).key)
        for variant, dataset in built
    ]
    wanted = [str(dataset.SOPInstanceUID) for variant, dataset in built if variant in promised]
    ledger.analyses.finish(leased.study.id, OWNER, START, FinishedAnalysis(results, {"old": wanted}, {}, "{}"))

    with Archive(sop_classes=[SecondaryCaptureImageStorage]) as archive:
        old = replace(archive.destination, name="old", fallback=ResultVariant(ResultKind.SC))
        delivery = lane(old, ledger, spool, DicomResultSender("NODE"), FakeClock(), POLICY)
        while delivery.run_one(OWNER):
            pass

    (received,) = archive.received
    assert received.SOPInstanceUID == next(dataset.SOPInstanceUID for variant, dataset in built if variant == PICTURE)
    states = [delivery.state for delivery in ledger.studies.deliveries(leased.study.id)]
    assert states == [DeliveryState.REPLACED, DeliveryState.REPLACED, DeliveryState.DELIVERED]
    assert only_revision(ledger).state is StudyState.RETURNED
    ledger.close()
