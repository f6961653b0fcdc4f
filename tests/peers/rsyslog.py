"""rsyslog as the collector of audit messages: syslog over mutual TLS (RFC 5425), what came in a file."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.peers.processes import free_port, program
from tests.support.certificates import Authority, Certificate

_PROGRAM = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"

_CONFIGURATION = """
global(
  workDirectory="{folder}"
  maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}"
)
module(
  load="imtcp"
  streamDriver.name="gtls"
  streamDriver.mode="1"
  streamDriver.authMode="x509/name"
  permittedPeer=["{peer}"]
)
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="whole" type="string" string="%rawmsg%\\n")
action(type="omfile" file="{messages}" template="whole" fileCreateMode="0600")
"""

_HEADER = re.compile(
    r"<(?P<priority>\d+)>1 (?P<at>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) "
    r'\[meta sequenceId="(?P<sequence>\d+)"\] (?P<message>.*)'
)


@dataclass(frozen=True)
class Message:
    """A message that arrived. message: with the byte order mark before it."""

    priority: int
    message_id: str
    sequence: int
    message: str


@dataclass(frozen=True)
class Rsyslog:
    """A collector with its files in `folder`; `peer`: the name in the certificate of who may send."""

    folder: Path
    port: int
    configuration: Path

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the time of the context; at the end it writes what it has read."""
        command = [_PROGRAM, "-n", "-f", str(self.configuration), "-i", str(self.folder / "pid")]
        with program(command, self.folder / "rsyslogd.log", port=self.port):
            yield

    def messages(self) -> list[Message]:
        """Return what arrived, in its order."""
        path = self.folder / "messages"
        if not path.exists():
            return []
        found = []
        for line in path.read_text(encoding="utf-8").splitlines():
            parts = _HEADER.fullmatch(line)
            assert parts is not None, line
            found.append(Message(int(parts["priority"]), parts["id"], int(parts["sequence"]), parts["message"]))
        return found


def new_rsyslog(folder: Path, authority: Authority, own: Certificate, peer: str) -> Rsyslog:
    """Write a configuration; nothing is running yet."""
    folder.mkdir(parents=True)
    made = Rsyslog(folder, free_port(), folder / "rsyslog.conf")
    made.configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            ca=authority.ca,
            certificate=own.certificate,
            key=own.key,
            peer=peer,
            port=made.port,
            messages=folder / "messages",
        )
    )
    return made
