"""Each claim of the statement of conformance is negotiated with a running node; what is not claimed is refused."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pynetdicom.sop_class
import pytest
import yaml
from pydicom import dcmread
from pydicom.uid import UID, AllTransferSyntaxes, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, UserIdentityNegotiation

from patchclip_node.dicom.commitment import PUSH_MODEL
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.archive import DicomArchive, Move
from patchclip_node.scu.associations import Associations
from patchclip_node.scu.get import Get
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.processes import PEERS_PATH, free_port, wait_until
from tests.peers.provoking import COMPREHENSIVE_SR, CR, PROVOKED, action, associate, store_too_large, stored
from tests.peers.radiographs import radiograph, write
from tests.peers.recorder import VERIFICATION, Recorder
from tests.support.docs import not_there
from tests.support.scp import associate_request, received_pdu, received_until_end

LARGEST_BYTES = 300_000
PLACES, PLACES_OF_ONE, PLACES_KEPT = 5, 4, 2


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[Node]:
    place = {"ae_title": "RECORDER", "host": "127.0.0.1", "port": recorder.port}
    node = new_node(
        tmp_path_factory.mktemp("conformance"),
        limits={
            "min_free_bytes": 0,
            "max_instance_bytes": LARGEST_BYTES,
            "max_associations": PLACES,
            "max_associations_per_address": PLACES_OF_ONE,
            "associations_kept_for_known": PLACES_KEPT,
        },
        known_callers=[
            {"ae_title": "RECORDER", "address": "127.0.0.1", "port": recorder.port},
            {"ae_title": "SILENT", "address": "127.0.0.1", "port": free_port()},
        ],
    )
    content = yaml.safe_load(node.config.read_text())
    content["destinations"] = [
        {"name": "queried", "profile": "research", "confirm": "query", **place},
        {"name": "committed", "profile": "standard", "confirm": "commitment", **place},
    ]
    node.config.write_text(yaml.safe_dump(content))
    recorder.node_port = node.port
    with node.running():
        yield node


@pytest.fixture(scope="module")
def claims(node: Node) -> dict[str, Any]:
    """The statement of this node's own configuration, as the command gives it to programs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHCLIP_")}
    arguments = [
        sys.executable,
        "-m",
        "patchclip_node",
        "conformance",
        "--format",
        "json",
        "--config",
        str(node.config),
    ]
    printed = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def negotiated(node: Node, contexts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return (SOP class, transfer syntax) -> the result of its presentation context (PS3.8 table 9-18)."""
    found: dict[tuple[str, str], int] = {}
    for start in range(0, len(contexts), 127):
        some = contexts[start : start + 127]
        association = associate(node, [(VERIFICATION, ImplicitVRLittleEndian), *some])
        assert association.is_established
        for one in (*association.accepted_contexts, *association.rejected_contexts):
            asked = (str(one.abstract_syntax), some[(int(one.context_id or 0) - 3) // 2][1])
            if one.context_id != 1:
                found[asked] = int(one.result or 0)
        association.release()
    return found


def test_each_sop_class_that_is_claimed_is_accepted_in_each_of_its_transfer_syntaxes(
    node: Node, claims: dict[str, Any]
) -> None:
    claimed = [
        (one["sop_class_uid"], syntax)
        for one in claims["accepted"]
        if one["role"] == "SCP"
        for syntax in one["transfer_syntaxes"]
    ]

    assert len(claimed) > 150
    assert negotiated(node, claimed) == dict.fromkeys(claimed, 0)


def test_no_sop_class_and_no_transfer_syntax_beside_them_is_accepted(node: Node, claims: dict[str, Any]) -> None:
    claimed = {one["sop_class_uid"] for one in claims["accepted"]}
    known = {str(uid) for uid in vars(pynetdicom.sop_class).values() if isinstance(uid, UID)}
    others = [(uid, ExplicitVRLittleEndian) for uid in sorted(known - claimed)]
    (syntaxes,) = [one["transfer_syntaxes"] for one in claims["accepted"] if one["sop_class_uid"] == CR]
    other_syntaxes = [(CR, str(uid)) for uid in AllTransferSyntaxes if uid not in syntaxes]

    assert len(others) > 150
    assert len(other_syntaxes) > 15
    assert set(negotiated(node, others).values()) == {3}  # abstract-syntax-not-supported
    assert set(negotiated(node, other_syntaxes).values()) == {4}  # transfer-syntaxes-not-supported


def test_only_storage_commitment_has_both_roles(node: Node, claims: dict[str, Any]) -> None:
    both = {one["sop_class_uid"] for one in claims["accepted"] if one["role"] == "SCU"}
    for uid in sorted({one["sop_class_uid"] for one in claims["accepted"]}):
        role = build_role(uid, scp_role=True)
        association = associate(node, [(uid, ImplicitVRLittleEndian)], role)
        (context,) = association.accepted_contexts
        assert bool(context.as_scp) == (uid in both), uid
        association.release()

    assert both == {PUSH_MODEL}


DESK = "tests/unit/patchclip_node/scp/test_commitment.py"
SHOWN_ELSEWHERE = {
    ("N-ACTION", 0x0110): f"{DESK}::test_a_ledger_that_does_not_answer_is_a_processing_failure",
    ("N-ACTION", 0x0213): f"{DESK}::test_one_request_too_many_is_a_resource_limitation",
    ("N-EVENT-REPORT", 0x0110): f"{DESK}::test_a_ledger_that_does_not_answer_is_a_processing_failure",
}


def test_each_status_that_is_claimed_is_provoked_or_shown_by_a_test_that_exists(claims: dict[str, Any]) -> None:
    claimed = {(one["service"], one["status"]) for one in claims["answered"]}

    assert claimed == set(PROVOKED) | set(SHOWN_ELSEWHERE)
    assert not_there(list(SHOWN_ELSEWHERE.values())) == []


@pytest.mark.parametrize(
    ("service", "status"), PROVOKED, ids=lambda value: value if isinstance(value, str) else hex(value)
)
def test_a_status_is_answered_where_the_statement_says(node: Node, service: str, status: int) -> None:
    assert PROVOKED[service, status](node) == status


def test_what_follows_on_a_response_is_what_the_statement_says(claims: dict[str, Any], tmp_path: Path) -> None:
    path = write(radiograph(rows=8, columns=8, sop_class_uid=COMPREHENSIVE_SR), tmp_path / "report.dcm")
    statuses = [one["status"] for one in claims["heard"]]
    with Archive(answer=lambda _: statuses[len(outcomes)]) as archive:
        sender = DicomResultSender("PATCHCLIP", Timeouts(connect_s=5, acse_s=5, response_s=5))
        outcomes: list[str] = []
        for _ in statuses:
            (sent,) = sender.send(archive.destination, [path])
            outcomes.append(
                "stored"
                if sent.error is None
                else "waits for a person"
                if sent.conflict
                else "not sent again"
                if sent.permanent
                else "sent again, until"
            )

    for one, outcome in zip(claims["heard"], outcomes, strict=True):
        assert outcome in one["words"], one


def test_what_is_proposed_is_what_is_claimed_and_each_kind_of_result_is_sent(
    node: Node, recorder: Recorder, claims: dict[str, Any], tmp_path: Path
) -> None:
    """One study with a finding goes through the node to destinations that ask for each way of confirmation."""
    assert action("RECORDER")(node) == 0x0000  # the node reports over a separate association
    DicomResultSender("PATCHCLIP").echo(Destination("recorder", "RECORDER", "127.0.0.1", recorder.port))
    place = Destination("archive", "RECORDER", "127.0.0.1", recorder.port)
    for by in (Move("PATCHCLIP"), Get(lambda _: 0, 1)):
        with closing(DicomArchive(place, Associations("PATCHCLIP"), by, "PATCHCLIP")) as archive:
            archive.series("1.2.3")
    dataset = radiograph(bright=True)
    assert stored(node, dataset, sop_instance_uid=str(dataset.SOPInstanceUID)) == 0x0000
    node.wait_for_end_of([str(dataset.StudyInstanceUID)], 120)

    claimed = {
        (one["sop_class_uid"], syntax, one["role"]) for one in claims["proposed"] for syntax in one["transfer_syntaxes"]
    }
    wait_until(lambda: (PUSH_MODEL, str(ImplicitVRLittleEndian), "SCP") in recorder.proposed, "the node reports", 30)
    assert recorder.proposed == claimed
    assert set(recorder.stored) == {one["sop_class_uid"] for one in claims["results"]}
    assert recorder.reports >= 1
    assert recorder.max_pdu == {limit(claims, "sent_pdu")}
    assert recorder.implementations == {(claims["implementation_class_uid"], claims["implementation_version_name"])}


def limit(claims: dict[str, Any], key: str) -> int:
    (found,) = [one["value"] for one in claims["limits"] if one["key"] == key]
    return int(found)


def check_max_pdu(node: Node, claims: dict[str, Any]) -> None:
    association = associate(node, [(VERIFICATION, ImplicitVRLittleEndian)])
    assert association.acceptor.maximum_length == limit(claims, "max_pdu")
    assert str(association.acceptor.implementation_class_uid) == claims["implementation_class_uid"]
    assert str(association.acceptor.implementation_version_name) == claims["implementation_version_name"]
    association.release()


def announced(node: Node, kind: int, length: int, *before: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as peer:
        for pdu in before:
            peer.sendall(pdu)
            assert received_pdu(peer)[0] == 0x02
        peer.sendall(struct.pack(">BBL", kind, 0, length))
        return received_until_end(peer)


def check_longest_request(node: Node, claims: dict[str, Any]) -> None:
    assert announced(node, 0x01, limit(claims, "longest_request") + 1)[0] == 0x07


def check_longest_pdu(node: Node, claims: dict[str, Any]) -> None:
    assert announced(node, 0x04, limit(claims, "longest_pdu") + 1, associate_request(CR))[0] == 0x07


def check_places(node: Node, claims: dict[str, Any]) -> None:
    """Strangers leave the kept places to known callers; one of these gets as many as is said."""
    total, of_one = limit(claims, "associations"), limit(claims, "associations_per_address")
    kept = limit(claims, "associations_kept")
    for callers, expected in (
        (
            ["SENDER"] * (total - kept + 1) + ["RECORDER"] * (kept + 1),
            [True] * (total - kept) + [False] + [True] * kept + [False],
        ),
        (["SILENT"] * (of_one + 1) + ["RECORDER"], [True] * of_one + [False, True]),
    ):  # places of what a test before has closed may be taken for a moment
        wait_until(lambda: established(node, callers) == expected, f"{callers} get {expected}")  # noqa: B023


def established(node: Node, callers: Sequence[str]) -> list[bool]:
    """Tell which of these callers get an association while all before them have theirs."""
    opened = [associate(node, [(VERIFICATION, ImplicitVRLittleEndian)], calling=caller) for caller in callers]
    found = [one.is_established for one in opened]
    for one in opened:
        if one.is_established:
            one.release()
    return found


def check_outstanding(node: Node, claims: dict[str, Any]) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    association = associate(node, [(VERIFICATION, ImplicitVRLittleEndian)], window)
    assert association.is_established
    assert association.acceptor.asynchronous_operations == (limit(claims, "outstanding"),) * 2
    association.release()


def check_instance(node: Node, claims: dict[str, Any]) -> None:
    assert limit(claims, "instance") == LARGEST_BYTES
    assert store_too_large(node) == 0xA700


UNIT = "tests/unit/patchclip_node"
BAD_PEERS, CONTEXTS = f"{UNIT}/scp/test_bad_peers.py", f"{UNIT}/scu/test_contexts.py"
COMMITMENT, CONFIRMATION = "tests/integration/test_commitment.py", "tests/integration/test_confirmation.py"
STARVING, LANES = "tests/integration/scp/test_starving.py", "tests/integration/test_lanes.py"
POLICY, COMMIT = f"{UNIT}/domain/test_policy.py", f"{UNIT}/services/test_commit.py"
HERE = "tests/acceptance/test_conformance.py"
MET: dict[str, Callable[[Node, dict[str, Any]], None] | str] = {
    "max_pdu": check_max_pdu,
    "longest_pdu": check_longest_pdu,
    "longest_request": check_longest_request,
    "command_set": f"{BAD_PEERS}::test_an_endless_command_set_is_aborted",
    "information": f"{COMMITMENT}::test_a_report_to_us_that_is_not_understood_or_too_long_changes_nothing",
    "instance": check_instance,
    "request_time": f"{BAD_PEERS}::test_a_request_that_drips_in_has_no_longer_than_one_that_does_not_come",
    "idle_time": f"{BAD_PEERS}::test_a_connection_that_stalls_is_closed",
    "artim": f"{BAD_PEERS}::test_a_connection_that_stalls_is_closed",
    "waiting": f"{STARVING}::test_a_full_lobby_closes_who_waits_longest_of_the_most_numerous",
    "associations": check_places,
    "associations_per_address": check_places,
    "associations_kept": check_places,
    "owed_reports": f"{UNIT}/services/test_custody.py::test_a_peer_that_asks_more_than_it_can_be_told_is_refused",
    "outstanding": check_outstanding,
    "sent_pdu": f"{HERE}::test_what_is_proposed_is_what_is_claimed_and_each_kind_of_result_is_sent",
    "contexts": f"{CONTEXTS}::test_no_more_contexts_are_proposed_than_have_a_number",
    "per_destination": f"{LANES}::test_two_processes_never_send_to_one_destination_at_once",
    "connect_time": f"{CONTEXTS}::test_the_times_of_an_association_are_those_of_the_sender",
    "accept_time": f"{CONTEXTS}::test_the_times_of_an_association_are_those_of_the_sender",
    "response_time": f"{UNIT}/scu/test_sender.py::test_a_peer_that_gives_no_answer_is_tried_again",
    "report_time": f"{COMMITMENT}::test_nothing_is_waited_for_once_all_is_settled_otherwise",
    "query_tries": f"{CONFIRMATION}::test_an_archive_that_files_a_moment_later_is_asked_again",
    "answers": "tests/integration/test_archives.py::test_an_answer_without_an_end_is_cut_off",
    "query_pause": f"{CONFIRMATION}::test_an_archive_that_files_a_moment_later_is_asked_again",
    "backoff": f"{POLICY}::test_the_wait_doubles_up_to_its_maximum",
    "backoff_max": f"{POLICY}::test_the_wait_doubles_up_to_its_maximum",
    "deliver_for": f"{POLICY}::test_a_delivery_is_given_up_by_time",
    "commit_within": f"{COMMIT}::test_a_report_that_does_not_come_in_time_lets_the_results_be_sent_again",
}
"""Limit -> how it is met here, or the test that shows it: most times are too long to be waited for."""


def test_each_limit_that_is_claimed_is_met_or_shown_by_a_test_that_exists(node: Node, claims: dict[str, Any]) -> None:
    assert {one["key"] for one in claims["limits"]} == set(MET)
    assert not_there([shown for shown in MET.values() if isinstance(shown, str)]) == []
    for check in dict.fromkeys(check for check in MET.values() if not isinstance(check, str)):
        check(node, claims)


def test_a_user_identity_is_neither_heard_nor_answered(node: Node) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.positive_response_requested = 1, b"user", True
    association = associate(node, [(VERIFICATION, ImplicitVRLittleEndian)], identity)

    assert association.is_established
    assert association.acceptor.user_identity is None
    association.release()


@pytest.mark.peer("dcmtk")
def test_dcmtk_is_answered_in_what_is_claimed_and_refused_the_rest(
    node: Node, claims: dict[str, Any], tmp_path: Path
) -> None:
    images = [
        one["sop_class_uid"] for one in claims["accepted"] if one["service"] == "Storage" and not one["condition"]
    ]
    sent = [
        write(radiograph(rows=16, columns=16, sop_class_uid=uid), tmp_path / f"{number}.dcm")
        for number, uid in enumerate(images)
    ]

    assert dcmtk.echoscu(node.port).returncode == 0
    stored = dcmtk.storescu(node.port, *sent)
    assert stored.returncode == 0, stored.stderr
    for path in sent:
        study = str(dcmread(path).StudyInstanceUID)
        wait_until(lambda: bool(node.received(study)), f"{path} is known")  # noqa: B023 - called at once
    for tool, options in (
        ("findscu", ["-S", "-k", "QueryRetrieveLevel=STUDY"]),
        ("movescu", ["-S", "-k", "QueryRetrieveLevel=STUDY"]),
        ("termscu", []),
    ):
        refused = subprocess.run(
            [tool, *options, "-aec", "PATCHCLIP", "127.0.0.1", str(node.port)],
            env={**os.environ, "PATH": PEERS_PATH},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "No Acceptable Presentation Contexts" in refused.stderr, tool
