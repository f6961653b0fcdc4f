"""Orthanc as a destination, bound to loopback."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from patchclip_node.domain.transport_security import TlsCredentials
from patchclip_node.ports.result_sender import Destination
from tests.peers.processes import free_port, program

_DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running server."""

    destination: Destination
    http_port: int

    def sop_classes(self, study_instance_uid: str) -> dict[str, str]:
        """Return SOP Instance UID -> SOP Class UID of what it holds of a study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found: dict[str, str] = {}
        for identifier in self._ask("/tools/find", query):
            tags = self._ask(f"/instances/{identifier}/simplified-tags")
            found[tags["SOPInstanceUID"]] = tags["SOPClassUID"]
        return found

    def datasets(self, study_instance_uid: str) -> list[Dataset]:
        """Return what it holds of a study."""
        found = self._ask("/tools/find", {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}})
        return [self._dataset(identifier) for identifier in found]

    def _dataset(self, identifier: str) -> Dataset:
        url = f"http://127.0.0.1:{self.http_port}/instances/{identifier}/file"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return dcmread(BytesIO(answer.read()))

    def send_all_to_the_node(self) -> None:
        """Send all that it holds to who may query it."""
        self._ask("/modalities/node/store", self._ask("/instances"))

    def keep(self, path: Path) -> None:
        """Put a DICOM file into the archive."""
        self._ask("/instances", path.read_bytes())

    def lose_all(self) -> None:
        """Delete all that it holds."""
        for study in self.studies():
            self._ask(f"/studies/{study}", method="DELETE")

    def studies(self) -> list[str]:
        """Return its own identifiers of the studies that it holds."""
        found: list[str] = self._ask("/studies")
        return found

    def _ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def orthanc(
    folder: Path,
    *,
    dicomweb: bool = False,
    node: tuple[str, int] = ("NODE", 104),
    tls: TlsCredentials | None = None,
    scripts: Sequence[Path] = (),
) -> Iterator[Orthanc]:
    """Run Orthanc with an empty store in `folder`; with DICOMweb where a browser is to read from it.

    node: AE title and port of who may query it, and whom it reports to about storage commitment. tls: with what it
    shows who it is, and whom it believes, as SCP and as SCU; None: plain DICOM. scripts: in Lua, read in this order.
    """
    folder.mkdir(exist_ok=True)
    dicom_port, http_port = free_port(), free_port()
    configuration = {
        "Name": "orthanc",
        "DefaultEncoding": "Utf8",  # in what it answers to DICOMweb: letters that Latin-1 lacks are dropped otherwise
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "DicomModalities": {  # who may ask for what it holds
            "node": {"AET": node[0], "Host": "127.0.0.1", "Port": node[1], "UseDicomTls": tls is not None}
        },
        "DicomCheckCalledAet": True,
        "OverwriteInstances": False,
        "LuaScripts": [str(path) for path in scripts],
        "Plugins": [_DICOMWEB_PLUGIN] if dicomweb else [],
        "DicomWeb": {"Enable": dicomweb, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado", "Ssl": False},
    }
    if tls is not None:
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls.certificate),
            "DicomTlsPrivateKey": str(tls.key),
            "DicomTlsTrustedCertificates": str(tls.ca),
            "DicomTlsRemoteCertificateRequired": True,
        }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    name = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    with program([name, str(path)], folder / "orthanc.log", port=dicom_port, patience_s=0):
        yield Orthanc(Destination("orthanc", "ORTHANC", "127.0.0.1", dicom_port), http_port)
