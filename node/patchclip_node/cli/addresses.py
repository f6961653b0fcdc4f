"""What listens on an address of this machine, or could."""

from __future__ import annotations

import errno
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from patchclip_node.bootstrap.ourselves import reachable

_TIMEOUT_S: Final = 5.0


def why_not_bindable(host: str, port: int) -> int | None:
    """Return the error number that binding gives; None where it works."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EIO
    return None


def bind_advice(port: int, key: str) -> str:
    """Return what to do about an address that cannot be bound, which the setting `key` names."""
    if port < 1024:
        return "a port below 1024 needs the right to bind it (CAP_NET_BIND_SERVICE); a higher one does not"
    return f"set {key} to an address of this machine, or to 0.0.0.0 for all of them"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Health:
    """What /healthz of some node says. receiver_reported_at: when its receiver last did, None where none runs."""

    status: str
    receiver_reported_at: datetime | None


def health_of(host: str, port: int) -> Health | None:
    """Return what /healthz of the status pages there says; None where no node answers."""
    url = f"http://{_bracketed(reachable(host))}:{port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            content = answer.read(65536)
    except urllib.error.HTTPError as error:
        content = error.read(65536)
    except OSError:
        return None
    try:
        said = json.loads(content)
        receiver = said.get("receiver")
        reported_at = datetime.fromisoformat(receiver["reported_at"]) if isinstance(receiver, dict) else None
        return Health(str(said["status"]), reported_at)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
