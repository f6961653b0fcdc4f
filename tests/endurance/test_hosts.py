"""Two receivers, three workers, deliverers and what they share, each on a host that dies or is cut off by chance."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.domain.variants import NoteKind
from tests.endurance.mutation import encoded
from tests.endurance.scale import Scale
from tests.endurance.senders import Modalities
from tests.endurance.site import PORT, Databases, Site, one_database, site, three_databases
from tests.endurance.troubles import Troubles
from tests.peers.archive import COMPREHENSIVE_SR
from tests.peers.hosts import ADDRESSES, Network
from tests.peers.processes import wait_until
from tests.peers.radiographs import data_set_of

pytestmark = [
    pytest.mark.long_only,
    pytest.mark.allow_hosts([ADDRESSES]),
    *(pytest.mark.peer(one) for one in ("hosts", "redis", "postgresql", "swift")),
]

LASTS_S = 600.0
STUDIES_A_SECOND, IMAGES_A_STUDY, MODALITIES = 0.6, 2, 4
SENDER_WAITS_S = 15.0
END_WITHIN_S = 900.0


@pytest.mark.parametrize(
    "databases",
    [
        pytest.param(one_database, id="one PostgreSQL"),
        pytest.param(three_databases, id="Patroni", marks=pytest.mark.peer("patroni")),
    ],
)
def test_whatever_dies_or_is_cut_off_each_study_ends_and_its_results_come_once(
    databases: Callable[[Network, Path], AbstractContextManager[Databases]], tmp_path: Path, scale: Scale
) -> None:
    lasts_s = scale.seconds or LASTS_S
    with site(tmp_path, databases) as hospital:
        images = IMAGES_A_STUDY * round(STUDIES_A_SECOND * lasts_s)
        sent = Modalities(
            PORT, images // IMAGES_A_STUDY, IMAGES_A_STUDY, MODALITIES, hospital.receivers, SENDER_WAITS_S
        )
        moments: list[float] = []
        sent.tell(lambda _: moments.append(time.monotonic()))
        began_s = time.monotonic()
        troubles = Troubles(
            hospital, scale.chance(), lambda text: scale.say(f"{time.monotonic() - began_s:5.0f} s  {text}")
        )
        with sent.at_work():
            released = 0
            while (passed_s := time.monotonic() - began_s) < lasts_s:
                if due := round(images * passed_s / lasts_s) - released:
                    sent.send(due)
                    released += due
                troubles.step()
                time.sleep(0.1)
            acknowledged_under_trouble = len(sent.acknowledged)
            troubles.end_all()
            sent.send(images)
            mended_s = time.monotonic()
            wait_until(lambda: len(sent.acknowledged) == images, "all is acknowledged", END_WITHIN_S)
            all_acknowledged_s = time.monotonic() - mended_s
            wait_until(lambda: _all_ended(hospital, sent), "all studies end", END_WITHIN_S, every_s=1)
            all_ended_s = time.monotonic() - mended_s
        assert_in_the_store(hospital, sent)
        revisions = assert_ended_well(hospital, sent)
        came, different = assert_each_result_once(hospital, revisions)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    scale.say(
        f"{lasts_s:.0f} s: {len(sent.studies)} studies of {IMAGES_A_STUDY} images, {sent.attempts} C-STORE requests, "
        f"{sent.attempts - images} of them without Success; {acknowledged_under_trouble} images acknowledged under "
        f"trouble, the longest time without one {max(gaps):.0f} s; after all was mended {all_acknowledged_s:.0f} s "
        f"until all was acknowledged, {all_ended_s:.0f} s until all was over; {revisions} revisions; the archive got "
        f"{came} objects, {different} different ones\n{_table(troubles.counts)}"
    )


def _all_ended(hospital: Site, sent: Modalities) -> bool:
    try:
        with hospital.observer.ledger() as ledger:
            revisions = ledger.studies.find(limit=10**6)
    except LedgerUnavailableError:  # it comes back just now
        return False
    found = {study.study_instance_uid for study in revisions}
    return found >= set(sent.studies) and all(study.state in FINAL_STATES for study in revisions)


def assert_in_the_store(hospital: Site, sent: Modalities) -> None:
    """Assert that each image that was acknowledged is in the ledger, and in the store as the bytes that were sent."""
    with hospital.observer.ledger() as ledger:
        keys = {
            record.instance.header.sop_instance_uid: record.instance.spool_key
            for study in sent.studies
            for record in ledger.studies.instances(study)
        }
    lost = [one.SOPInstanceUID for one in sent.acknowledged if keys.get(one.SOPInstanceUID) is None]
    assert lost == []
    changed = [
        one.SOPInstanceUID
        for one in sent.acknowledged
        if data_set_of(hospital.store.content(f"node/{keys[one.SOPInstanceUID]}")[0]) != encoded(one)
    ]
    assert changed == []


def assert_ended_well(hospital: Site, sent: Modalities) -> int:
    """Assert that every revision was returned, the last one with all images, each with one result of a kind."""
    with hospital.observer.ledger() as ledger:
        revisions = ledger.studies.find(limit=10**6)
        assert {one.study_instance_uid for one in revisions} == set(sent.studies)
        others = {(one.study_instance_uid, one.state, one.error) for one in revisions}
        assert {one for one in others if one[1] is not StudyState.RETURNED} == set()
        newest = {one.study_instance_uid: one for one in reversed(revisions)}
        assert {one.instance_count for one in newest.values()} == {IMAGES_A_STUDY}
        for one in revisions:
            kinds = Counter(
                result.result.variant
                for result in ledger.studies.results(one.id)
                if not isinstance(result.result.kind, NoteKind)
            )
            assert set(kinds.values()) <= {1}, kinds
            states = {delivery.state for delivery in ledger.studies.deliveries(one.id)}
            assert states <= {DeliveryState.DELIVERED, DeliveryState.RECALLED}, (one, states)
    return len(revisions)


def assert_each_result_once(hospital: Site, revisions: int) -> tuple[int, int]:
    """Assert that the archive has exactly what the ledger has delivered, and one content of each."""
    came = hospital.what_came()
    with hospital.observer.ledger() as ledger:
        delivered = {
            delivery.result.result.sop_instance_uid
            for study in ledger.studies.find(limit=10**6)
            for delivery in ledger.studies.deliveries(study.id)
            if delivery.delivered_at is not None or delivery.state is not DeliveryState.RECALLED
        }
    contents: dict[str, set[str]] = {}
    for one in came:
        contents.setdefault(one.sop_instance_uid, set()).add(one.sha256)
    assert delivered - set(contents) == set()
    assert {uid for uid, digests in contents.items() if len(digests) > 1} == set()
    reports = {one.sop_instance_uid for one in came if one.sop_class_uid == COMPREHENSIVE_SR}
    assert len(reports) <= revisions
    return len(came), len(contents)


def _table(counts: Counter[tuple[str, str]]) -> str:
    return "\n".join(f"    {role:12} {kind:8} {count}" for (role, kind), count in sorted(counts.items()))
