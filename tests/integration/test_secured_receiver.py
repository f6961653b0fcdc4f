"""The receiver as its settings ask for it: TLS, named callers, allowed networks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.receiver import build_receiver
from patchclip_node.cli import port_checks
from patchclip_node.cli.check_result import Status
from patchclip_node.cli.checks import run_check
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import NodeSettings, read_settings
from tests.peers import dcmtk
from tests.peers.orthanc import orthanc
from tests.peers.processes import free_port
from tests.peers.radiographs import radiograph, write
from tests.support.certificates import Authority

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl")]


def settings(folder: Path, authority: Authority, **values: Any) -> NodeSettings:
    node = authority.issue("node")
    files = {"certificate": node.certificate, "key": node.key, "ca": authority.ca, "crl": authority.crl}
    base = {"host": "127.0.0.1", "port": free_port(), "data_dir": folder / "var", "limits": {"min_free_bytes": 0}}
    return read_settings(None, **base, tls=files, **values)


def test_a_named_caller_gets_in_with_its_certificate_and_doctor_finds_the_node_running(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    modality, other = authority.issue("modality"), authority.issue("other")
    caller = {"ae_title": "STORESCU", "address": "127.0.0.1", "certificate": "modality"}
    given = settings(tmp_path, authority, known_callers=[caller], allowed_networks=["127.0.0.0/8"])
    image = write(radiograph(rows=64, columns=64), tmp_path / "image.dcm")

    with closing(open_ledger(given)) as ledger:
        clock = open_clock(ledger)
        with build_receiver(given, ledger, open_spool(given), clock) as scp:
            ReceptionFile(given.data_dir).write(scp.reception(clock.now()))
            sent = [
                dcmtk.storescu(
                    given.port,
                    image,
                    options=("+tls", str(shown.key), str(shown.certificate), "+cf", str(authority.ca)),
                ).returncode
                for shown in (modality, other)
            ]
            (found,) = run_check(port_checks.dicom_port, given)
        counts = ledger.workload.counts()

    assert sent[0] == 0
    assert sent[1] != 0
    assert counts.instances == 1
    assert found.status is Status.OK
    assert "PATCHCLIP speaks TLS; the node is running" in found.detail


def test_a_receiver_of_other_networks_listens_to_nobody_here(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    modality = authority.issue("modality")
    given = settings(tmp_path, authority, allowed_networks=["192.0.2.0/24"])
    image = write(radiograph(rows=64, columns=64), tmp_path / "image.dcm")

    with closing(open_ledger(given)) as ledger:
        clock = open_clock(ledger)
        with build_receiver(given, ledger, open_spool(given), clock) as scp:
            shown = ("+tls", str(modality.key), str(modality.certificate), "+cf", str(authority.ca))
            refused = dcmtk.storescu(given.port, image, options=shown)
            troubles = scp.reception(clock.now()).troubles

    assert refused.returncode != 0
    assert troubles == {"address_not_allowed": 1}


@pytest.mark.peer("orthanc")
def test_an_archive_takes_results_and_gives_images_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    shown = authority.issue("archive")
    caller = {"ae_title": "ORTHANC", "address": "127.0.0.1", "certificate": shown.fingerprint}
    given = settings(tmp_path, authority, known_callers=[caller])
    assert given.tls is not None
    image = radiograph(rows=64, columns=64)
    path = write(image, tmp_path / "image.dcm")

    with (
        orthanc(tmp_path / "orthanc", node=("PATCHCLIP", given.port), tls=authority.credentials(shown)) as archive,
        closing(open_ledger(given)) as ledger,
    ):
        destination = replace(
            archive.destination, security=PeerSecurity(given.tls.credentials, CertificateMark(shown.fingerprint))
        )
        outcomes = DicomResultSender("PATCHCLIP").send(destination, [path])
        kept = archive.sop_classes(image.StudyInstanceUID)
        with build_receiver(given, ledger, open_spool(given), open_clock(ledger)):
            archive.send_all_to_the_node()
        (record,) = ledger.studies.instances(image.StudyInstanceUID)

    assert [one.error for one in outcomes] == [None]
    assert kept == {image.SOPInstanceUID: image.SOPClassUID}
    assert record.instance.calling_ae_title == "ORTHANC"
