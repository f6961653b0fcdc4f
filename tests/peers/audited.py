"""A node whose audit messages go to rsyslog, and what it is made to tell: studies' ways, from a start to a recall."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.uid import generate_uid

from patchclip_node.adapters.audit_files import trail_files, trail_lines
from patchclip_node.audit.chain import Line, read_line
from patchclip_node.audit.reading import Told, read_message
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.ports.audit import AuditLane
from patchclip_node.ports.result_sender import Destination
from patchclip_node.services import passwords
from tests.peers import dcmtk
from tests.peers.node import Node, new_node
from tests.peers.processes import listens, wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.rsyslog import Rsyslog, new_rsyslog
from tests.peers.visitor import Visitor
from tests.support.certificates import Authority, Certificate
from tests.support.fakes import START, make_ledger

VIEWER: Final = "vera"
PASSWORD: Final = "correct horse battery"
WORDS: Final = "Left and right were swapped."
_ENDS_WITHIN_S: Final = 240.0
"""A study of one small image ends within seconds; on a machine that does other work it may take minutes."""

Kind = tuple[str, str, str, str]
"""Event, type, action and outcome of a message, as its readers see them."""

OF_A_WAY: Final[dict[str, Kind]] = {
    "an image of it was received": ("DICOM Instances Transferred", "", "C", "0"),
    "it was sent again, and known": ("DICOM Instances Transferred", "", "R", "0"),
    "it was analysed": ("DICOM Instances Accessed", "", "C", "0"),
    "results, and a note, begin to go": ("Begin Transferring DICOM Instances", "", "E", "0"),
    "a stolen certificate came": ("Security Alert", "Node Authentication", "E", "4"),
    "a person logged in": ("User Authentication", "Login", "E", "0"),
    "a person listed studies": ("Query", "", "E", "0"),
    "a person opened it": ("DICOM Instances Accessed", "", "R", "0"),
    "a person tried what the role forbids": ("Security Alert", "Use of Restricted Function", "E", "4"),
    "emergency access was taken": ("Security Alert", "Emergency Override Started", "E", "0"),
    "its results were recalled": ("DICOM Instances Accessed", "", "U", "0"),
    "emergency access ended": ("Security Alert", "Emergency Override Stopped", "E", "0"),
    "a person logged out": ("User Authentication", "Logout", "E", "0"),
}
"""What one way tells at least once each."""


@dataclass
class Audited:
    """A node with TLS everywhere, a person of the role viewer, and a collector that is not running yet."""

    node: Node
    collector: Rsyslog
    authority: Authority
    modality: Certificate
    thief: Certificate
    uids: list[str] = field(default_factory=list)
    """The studies whose way was gone."""

    def go_a_way(self) -> str:
        """Let a study come, be analysed and returned, opened in an emergency and recalled; returns its UID.

        Each step tells the events of `OF_A_WAY`. Returns when the destination has the note.
        """
        uid = str(generate_uid(None))
        image = write(radiograph(study_instance_uid=uid, bright=True), self.node.folder / "image.dcm")
        assert self.send(self.modality, image) == 0
        self.node.wait_for_end_of([uid], _ENDS_WITHIN_S)
        self.send(self.modality, image)
        assert self.send(self.thief, image) != 0
        self._recall_in_an_emergency(uid)
        self.node.wait_for_end_of([uid], _ENDS_WITHIN_S)
        self.uids.append(uid)
        return uid

    def _recall_in_an_emergency(self, uid: str) -> None:
        wait_until(lambda: listens(self.node.settings.web.port), "the pages are served")
        person = Visitor(self.node.settings.web.port)
        assert person.log_in(VIEWER, PASSWORD) == 303
        assert person.get("/") == 200
        assert person.get(f"/studies/{uid}") == 200
        assert person.recall(uid, WORDS) == 403
        assert person.post("/emergency", reason="The surgeon waits, and no radiologist is in the house.") == 303
        assert person.recall(uid, WORDS) == 303
        assert person.post("/emergency/end") == 303
        assert person.post("/logout") == 303

    def send(self, shown: Certificate, image: Path) -> int:
        """C-STORE over TLS with a certificate; returns what storescu says."""
        options = ("+tls", str(shown.key), str(shown.certificate), "+cf", str(self.authority.ca))
        return dcmtk.storescu(self.node.port, image, options=options).returncode

    def command(self, *arguments: str) -> str:
        """Run a command of the node's program; returns what it shows."""
        command = [sys.executable, "-m", "patchclip_node", *arguments, "--config", str(self.node.config)]
        folder = self.node.folder
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120).stdout

    def waiting(self, *lanes: AuditLane) -> int:
        """Return how many events wait for these lanes, or for any."""
        with self.node.ledger() as ledger:
            found = ledger.audit.backlogs()
        assert found, "no lane is followed yet"
        return sum(one.waiting for one in found if not lanes or one.lane in lanes)

    def wait_for_collector(self, timeout_s: float = 90.0) -> None:
        """Return once the collector has all that was told."""

        def has_all() -> bool:
            return bool(self.collector.messages()) and self.waiting() == 0

        wait_until(has_all, "the collector has all events", timeout_s, every_s=0.5)

    def told(self) -> list[Told]:
        """Return what the collector has, in the order of its arrival."""
        return [read_message(one.message.removeprefix("\ufeff")) for one in self.collector.messages()]

    def lines(self) -> list[Line]:
        """Return the lines of the node's own files."""
        return [read_line(text) for _, _, text in trail_lines(trail_files(self.node.settings.audit_dir))]


def audited_node(folder: Path, destination: Destination) -> Audited:
    """Make certificates, a collector's configuration and a node's; nothing is running yet."""
    authority = Authority(folder / "authority")
    collector = new_rsyslog(folder / "rsyslog", authority, authority.issue("collector"), "node")
    own = authority.issue("node")
    node = new_node(
        folder / "node",
        [destination],
        tls={"certificate": str(own.certificate), "key": str(own.key), "ca": str(authority.ca)},
        known_callers=[{"ae_title": "STORESCU", "address": "127.0.0.1", "certificate": "modality"}],
        audit={
            "site": "St. Example",
            "collector": {"host": "127.0.0.1", "port": collector.port, "tls": {"peer": "collector"}},
        },
    )
    node.settings.data_dir.mkdir()
    ledger = make_ledger(node.settings.data_dir)
    ledger.accounts.add(Account(VIEWER, Role.VIEWER, passwords.hashed(PASSWORD), START))
    ledger.close()
    return Audited(node, collector, authority, authority.issue("modality"), authority.issue("thief"))
