"""docs/troubleshooting.md: each row is made to happen; its message, its exit status and its next step are what comes.

A row's message is in the output, in the order of its quoted parts; no traceback is, nor a library's own words.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Never

import pytest
import yaml

from patchclip_core.checkpoints.checkpoint import find, read_card
from patchclip_node.adapters.ledger import migrate
from patchclip_node.bootstrap import telemetry
from patchclip_node.bootstrap.configuration import start
from patchclip_node.cli import checks, destination_checks, port_checks, tls_checks
from patchclip_node.cli.check_result import Check, Status
from patchclip_node.cli.checks import run_check
from patchclip_node.cli.configuration_checks import in_use
from patchclip_node.domain.states import StudyState
from patchclip_node.scp.responses import ANSWERED
from patchclip_node.settings import read_settings
from tests.peers.archive import COMPREHENSIVE_SR, Archive
from tests.peers.processes import free_port
from tests.support.analysis import radiograph_file
from tests.support.bright_onnx import write_bright_onnx, write_graph
from tests.support.certificates import Authority
from tests.support.configured import Taking
from tests.support.docs import ROOT, in_code, page, table
from tests.support.earlier import make_earlier
from tests.support.fakes import make_ledger
from tests.support.studies import bring_to
from tests.unit.patchclip_node.cli.conftest import BRIGHT, Command, command

__all__ = ["command"]  # the fixture

PAGE: Final = ROOT / "docs" / "troubleshooting.md"
_RAW: Final = (
    "Traceback",
    "Errno",
    "sqlalchemy",
    "psycopg",
    "pydantic",
    "kombu",
    "Extra inputs",
    "input_value",
    "<unicode",
)

Outcome = tuple[int, str]
"""Exit status, and all that was said."""


@dataclass(frozen=True)
class Row:
    """A row of the page."""

    situation: str
    message: str
    status: int
    next_step: str

    @property
    def parts(self) -> list[str]:
        """What has to be said, in this order."""
        return [part for quoted in in_code(self.message) for part in quoted.split(" ... ")]


def rows() -> list[Row]:
    """Return all rows of the page's tables."""
    text = PAGE.read_text(encoding="utf-8")
    found = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.count(" | ") == 3 and line.startswith("|")
    ]
    return [
        Row(words, message, int(status), step) for words, message, status, step in found if status.strip().isdigit()
    ]


class Site:
    """Where a situation is made: a folder, a configuration, the commands."""

    def __init__(self, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.command = command
        self.monkeypatch = monkeypatch

    def config(self, text: str = "", **values: Any) -> Path:
        """Write a configuration: as it is, or these values beside ports and folders that are free."""
        path = self.folder / "node.yaml"
        base = {
            "data_dir": str(self.folder / "data"),
            "host": "127.0.0.1",
            "port": free_port(),
            "web": {"host": "127.0.0.1", "port": free_port()},
            "model": str(BRIGHT),
            "limits": {"min_free_bytes": 0},
        }
        path.write_text(text or yaml.safe_dump(base | values, sort_keys=False))
        return path

    def ran(self, *arguments: str | Path) -> Outcome:
        """Run a command."""
        ended = self.command(*arguments)
        return ended.status, ended.out + ended.err

    def checked(self, text: str) -> Outcome:
        """Run `config check`."""
        return self.ran("config", "check", "--config", self.config(text))

    def doctor(self, check: Check, **values: Any) -> Outcome:
        """Run one check of `doctor`, which ends with 1 where something fails."""
        return self.doctored(check, self.config(**values))

    def doctored(self, check: Check, config: Path) -> Outcome:
        """Run one check of a configuration file that is there."""
        results = run_check(check, read_settings(config))
        failed = any(result.status is Status.FAIL for result in results)
        return int(failed), "\n".join(f"{one.name} {one.status}: {one.detail}; {one.advice}" for one in results)

    def destination(self, **values: Any) -> dict[str, Any]:
        """A destination called `pacs`."""
        return {"name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": free_port()} | values

    def ledger_with(self, *states: StudyState) -> None:
        """Make the ledger, with a study in each state."""
        (self.folder / "data").mkdir()
        ledger = make_ledger(self.folder / "data")
        for number, state in enumerate(states):
            bring_to(ledger, state, f"1.2.{number}")
        ledger.close()


Make = Callable[[Site], Outcome]
SITUATIONS: dict[str, Make] = {}


def situation(words: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        SITUATIONS[words] = make
        return make

    return add


def checked(words: str, text: str) -> None:
    """A configuration that `config check` refuses."""
    SITUATIONS[words] = lambda site: site.checked(text)


PACS = "destinations: [{name: pacs, ae_title: PACS, host: 192.0.2.1, port: 104"

checked("a key is mistyped", "prot: 104\n")
checked("a key of a section is mistyped", "web:\n  prot: 8042\n")
checked("a key of a destination is mistyped", PACS + ", profil: ohif}]\n")
checked("a key of a profile is mistyped", "profiles: [{name: mine, objects: [sr], falls_back: true}]\n")
checked("a key is given twice", "port: 104\nport: 11112\n")


@situation("spans are to be sent, and the extra is not there")
def _(site: Site) -> Outcome:
    def is_not_there(name: str) -> Never:
        raise ModuleNotFoundError("No module named 'opentelemetry'", name=name)

    site.monkeypatch.setattr(telemetry, "import_module", is_not_there)
    return site.checked("telemetry: {endpoint: 'http://127.0.0.1:4318/v1/traces'}\n")


checked("a port is not a number", "port: dicom\n")
checked("a port is too large", "port: 70000\n")
checked("an AE title is too long", "ae_title: A_TITLE_THAT_IS_TOO_LONG\n")
checked("the file is not YAML", "port: 104\n  host: here\n")
checked("a destination names a profile that is not there", PACS + ", profile: ours}]\n")
checked("two destinations have one name", PACS + "}, {name: pacs, ae_title: B, host: 192.0.2.2, port: 104}]\n")
checked("a destination is renamed to one that is not there", "renamed_destinations: {old: new}\n")
checked("a lease would end before it is renewed", "lease_s: 2\nsweep_s: 1\n")


@situation("a variable of the environment is mistyped")
def _(site: Site) -> Outcome:
    site.monkeypatch.setenv("PATCHCLIP_PROT", "104")
    return site.ran("config", "check")


@situation("a variable of the environment is not JSON")
def _(site: Site) -> Outcome:
    site.monkeypatch.setenv("PATCHCLIP_DESTINATIONS", "[{name: pacs")
    return site.ran("config", "check")


@situation("there is no such configuration")
def _(site: Site) -> Outcome:
    return site.ran("config", "check", "--config", "nowhere.yaml")


@situation("the configuration is a folder")
def _(site: Site) -> Outcome:
    return site.ran("config", "check", "--config", site.folder)


def running_with(site: Site, **values: Any) -> Taking:
    """A receiver that runs with a configuration, and looks at nothing by itself."""
    return Taking("receive", site.config(calling_ae_titles=["A"], **values))


def changed(site: Site, **values: Any) -> Path:
    """Change the configuration file."""
    path = site.folder / "node.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))
    return path


@situation("a change needs a restart")
def _(site: Site) -> Outcome:
    with running_with(site):
        return site.ran("config", "apply", "--config", changed(site, port=104))


@situation("nothing runs that a change could be applied to")
def _(site: Site) -> Outcome:
    return site.ran("config", "apply", "--config", site.config())


@situation("a version that is wanted back is not there")
def _(site: Site) -> Outcome:
    with running_with(site):
        return site.ran("config", "back", "7", "--config", site.folder / "node.yaml")


@situation("the file was changed, and not applied")
def _(site: Site) -> Outcome:
    with running_with(site):
        return site.doctored(in_use(changed(site, calling_ae_titles=["B"])), site.folder / "node.yaml")


@situation("a process does not take a version that holds")
def _(site: Site) -> Outcome:
    with running_with(site) as receive:
        file = changed(site, port=104)
        start("work", file)
        receive.follower.look()
        return site.doctored(in_use(file), file)


@situation("the pages are open to the network without an account")
def _(site: Site) -> Outcome:
    return site.ran("web", "--config", site.config(web={"host": "0.0.0.0", "port": free_port()}))


@situation("the model is not there")
def _(site: Site) -> Outcome:
    return site.doctor(checks.model, model="/srv/models/none")


@situation("the weights are damaged")
def _(site: Site) -> Outcome:
    folder = site.folder / "damaged"
    shutil.copytree(find("untrained"), folder)
    weights = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return site.doctor(checks.model, model=str(folder))


@situation("the model's card is not there")
def _(site: Site) -> Outcome:
    (site.folder / "empty").mkdir()
    return site.doctor(checks.model, model=str(site.folder / "empty"))


@situation("what computes the model is not installed")
def _(site: Site) -> Outcome:
    found = importlib.util.find_spec
    site.monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    return site.ran("work", "--config", site.config(model=str(write_bright_onnx(site.folder / "exported"))))


@situation("an exported model has another graph")
def _(site: Site) -> Outcome:
    folder = write_bright_onnx(site.folder / "exported")
    write_graph(folder, read_card(folder), ["edema"])
    return site.doctor(checks.model, model=str(folder))


@situation("an exported model is to run on a GPU")
def _(site: Site) -> Outcome:
    return site.doctor(checks.model, model=str(write_bright_onnx(site.folder / "exported")), device="cuda")


@situation("the model is not trained")
def _(site: Site) -> Outcome:
    return site.doctor(checks.model, model="untrained")


@situation("the findings file is not there")
def _(site: Site) -> Outcome:
    return site.doctor(checks.findings_file, findings_file="/etc/patchclip/findings.yaml")


@situation("the disk is full")
def _(site: Site) -> Outcome:
    return site.doctor(checks.data_folder, limits={"min_free_bytes": 2**60})


@situation("the data folder is a file")
def _(site: Site) -> Outcome:
    (site.folder / "data").touch()
    return site.doctor(checks.data_folder)


@situation("the data folder cannot be made")
def _(site: Site) -> Outcome:
    return site.doctor(checks.data_folder, data_dir="/proc/patchclip")


@situation("there is no ledger yet")
def _(site: Site) -> Outcome:
    return site.ran("studies", "list", "--config", site.config())


@situation("the ledger is of a newer version")
def _(site: Site) -> Outcome:
    (site.folder / "data").mkdir()
    migrate(f"sqlite:///{site.folder / 'data' / 'ledger.sqlite'}")
    with closing(sqlite3.connect(site.folder / "data" / "ledger.sqlite")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE works_with SET revision = '9998'")
        database.commit()
    return site.ran("studies", "list", "--config", site.config())


@situation("the ledger is of an earlier version")
def _(site: Site) -> Outcome:
    site.ledger_with()
    make_earlier(site.folder / "data" / "ledger.sqlite")
    return site.ran("receive", "--config", site.config())


@situation("an upgrade finds the node running")
def _(site: Site) -> Outcome:
    site.ledger_with()
    file = site.folder / "data" / "ledger.sqlite"
    make_earlier(file)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM studies'); print(); input()"
    )
    arguments = [sys.executable, "-uc", program, str(file)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        outcome = site.ran("upgrade", "--config", site.config())
        other.communicate(b"\n")
    return outcome


def backed_up(site: Site) -> Path:
    """A backup of a node without studies."""
    site.ledger_with()
    folder = site.folder / "backup"
    assert site.ran("backup", "--to", folder, "--config", site.config())[0] == 0
    return folder


@situation("a backup is damaged")
def _(site: Site) -> Outcome:
    folder = backed_up(site)
    (folder / "configuration" / "settings.json").write_text("[]")
    return site.ran("backup", "--verify", folder)


@situation("a restore would write over something")
def _(site: Site) -> Outcome:
    return site.ran("restore", backed_up(site), "--into", site.folder / "data")


@situation("a restore was killed")
def _(site: Site) -> Outcome:
    (site.folder / "data" / "restoring").mkdir(parents=True)
    return site.ran("receive", "--config", site.config())


@situation("the ledger is not a database")
def _(site: Site) -> Outcome:
    (site.folder / "data").mkdir()
    (site.folder / "data" / "ledger.sqlite").write_text("a text that is longer than a header of SQLite" * 20)
    return site.doctor(checks.ledger)


@situation("PostgreSQL does not answer")
def _(site: Site) -> Outcome:
    return site.doctor(checks.ledger, ledger_url=f"postgresql://node:secret@127.0.0.1:{free_port()}/node")


@situation("Redis does not answer")
def _(site: Site) -> Outcome:
    return site.doctor(checks.queue, broker_url=f"redis://:secret@127.0.0.1:{free_port()}/0")


@situation("another node has the DICOM port")
def _(site: Site) -> Outcome:
    with Archive(ae_title="PATCHCLIP") as other:
        return site.doctor(port_checks.dicom_port, port=other.port)


@situation("another program has the DICOM port")
def _(site: Site) -> Outcome:
    with _hangs_up() as port:
        return site.doctor(port_checks.dicom_port, port=port)


@situation("another program has the port of the pages")
def _(site: Site) -> Outcome:
    with _hangs_up() as port:
        return site.doctor(port_checks.web_port, web={"host": "127.0.0.1", "port": port})


@situation("the node's address is not of this machine")
def _(site: Site) -> Outcome:
    return site.doctor(port_checks.dicom_port, host="192.0.2.1")


@situation("nothing listens at the PACS")
def _(site: Site) -> Outcome:
    return site.doctor(destination_checks.destinations, destinations=[site.destination()])


@situation("the host name of the PACS is wrong")
def _(site: Site) -> Outcome:
    there = site.destination(host="pacs.invalid")
    return site.doctor(destination_checks.destinations, destinations=[there])


@situation("the AE title of the PACS is wrong")
def _(site: Site) -> Outcome:
    with Archive(ae_title="OTHER") as archive:
        return site.doctor(destination_checks.destinations, destinations=[site.destination(port=archive.port)])


@situation("the PACS does not know this node")
def _(site: Site) -> Outcome:
    with Archive(calling_ae_titles=["CT"]) as archive:
        return site.doctor(destination_checks.destinations, destinations=[site.destination(port=archive.port)])


@situation("the port of the PACS is not its DICOM port")
def _(site: Site) -> Outcome:
    with _hangs_up() as port:
        return site.doctor(destination_checks.destinations, destinations=[site.destination(port=port)])


@situation("the PACS refuses a class of results")
def _(site: Site) -> Outcome:
    with Archive(sop_classes=(COMPREHENSIVE_SR,)) as archive:
        return site.doctor(destination_checks.destinations, destinations=[site.destination(port=archive.port)])


@situation("the PACS offers no storage commitment")
def _(site: Site) -> Outcome:
    with Archive() as archive:
        there = site.destination(port=archive.port, confirm="commitment")
        return site.doctor(destination_checks.destinations, destinations=[there])


@situation("a destination was renamed, and studies wait for it")
def _(site: Site) -> Outcome:
    site.ledger_with(StudyState.ANALYSED)
    return site.doctor(checks.ledger, destinations=[site.destination(name="archive")])


@situation("studies have failed")
def _(site: Site) -> Outcome:
    site.ledger_with(StudyState.FAILED, StudyState.PARTLY_RETURNED)
    return site.doctor(checks.ledger, destinations=[site.destination(), site.destination(name="research")])


@situation("a certificate is not there")
def _(site: Site) -> Outcome:
    tls = {"certificate": "/etc/patchclip/node.pem", "key": "/etc/patchclip/node.key", "ca": "/etc/patchclip/ca.pem"}
    return site.doctor(tls_checks.tls, tls=tls)


@situation("the certificate has expired")
def _(site: Site) -> Outcome:
    authority = Authority(site.folder / "authority")
    node = authority.issue("node", days=("200101000000Z", "210101000000Z"))
    files = {"certificate": node.certificate, "key": node.key, "ca": authority.ca, "crl": authority.crl}
    return site.doctor(tls_checks.tls, tls={name: str(path) for name, path in files.items()})


@situation("a file is not DICOM")
def _(site: Site) -> Outcome:
    (site.folder / "letter.txt").write_text("not an image")
    return site.ran("analyze", "letter.txt", "--json")


@situation("images of a study name different patients")
def _(site: Site) -> Outcome:
    for name in ("one", "two"):
        radiograph_file(site.folder, f"{name}.dcm", "1.2.1", PatientID=name)
    return site.ran("analyze", "one.dcm", "two.dcm", "--json", "--model", BRIGHT)


@situation("an image has no Patient ID, another of its study has one")
def _(site: Site) -> Outcome:
    radiograph_file(site.folder, "one.dcm", "1.2.1", PatientID="4711")
    radiograph_file(site.folder, "two.dcm", "1.2.1", PatientID="", PatientName="")
    return site.ran("analyze", "one.dcm", "two.dcm", "--json", "--model", BRIGHT)


@situation("a study is not in the ledger")
def _(site: Site) -> Outcome:
    site.ledger_with()
    return site.ran("studies", "requeue", "9.9", "--config", site.config())


@situation("a study is under way already")
def _(site: Site) -> Outcome:
    site.ledger_with(StudyState.RETURNING)
    return site.ran("studies", "requeue", "1.2.0", "--config", site.config())


@situation("many studies are meant, and there is no terminal to ask")
def _(site: Site) -> Outcome:
    site.ledger_with(StudyState.FAILED, StudyState.FAILED)
    return site.ran("studies", "requeue", "--all-failed", "--config", site.config())


@contextmanager
def _hangs_up() -> Iterator[int]:
    """A program that takes each connection and ends it at once; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                server.accept()[0].close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_the_page_has_each_situation_once_and_no_other() -> None:
    assert [row.situation for row in rows()] == list(dict.fromkeys(row.situation for row in rows()))
    assert {row.situation for row in rows()} == set(SITUATIONS)
    assert len(rows()) >= 40
    assert [row.situation for row in rows() if not row.parts or not row.next_step] == []


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=[pytest.mark.peer("openssl")] if "expired" in row.situation else []) for row in rows()],
    ids=[row.situation for row in rows()],
)
def test_what_the_page_says_is_what_comes(
    row: Row, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = SITUATIONS[row.situation](Site(tmp_path, command, monkeypatch))

    words = " ".join(said.split())
    at = 0
    for part in row.parts:
        assert part in words[at:], words
        at += words[at:].index(part) + len(part)
    assert status == row.status, words
    assert [raw for raw in _RAW if raw in said] == [], said


def test_the_statuses_that_a_sender_sees_are_ones_that_the_node_answers() -> None:
    seen = [in_code(row[0]) for row in table(page("docs/troubleshooting.md"), "seen at the sender")]
    answered = {f"0x{status:04X}" for of in ANSWERED.values() for status in of}
    of_stores = {f"0x{status:04X}" for status in ANSWERED["C-STORE"]} - {"0x0000", "0x0211"}

    named = {code for codes in seen for code in codes}
    assert named <= answered
    assert named >= of_stores
