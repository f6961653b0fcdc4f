"""A person at the node's pages, without a browser: keeps the session's cookie, and fills in the forms of a page."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from urllib.parse import urlencode

from patchclip_node.web.access import COOKIE

_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')
_CONFIRMED = re.compile(r'name="confirmed" value="(\d+)"')


class Visitor:
    """Asks for one page after the other on loopback; each method returns the status of its last answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""
        self._token = ""
        self.page = ""
        """The last answer's body."""

    def get(self, path: str) -> int:
        """Open a page."""
        return self._ask("GET", path)

    def post(self, path: str, **fields: str) -> int:
        """Send a form of this session."""
        return self._ask("POST", path, fields | {"token": self._token})

    def log_in(self, name: str, password: str) -> int:
        """Start a session."""
        return self._ask("POST", "/login", {"name": name, "password": password})

    def recall(self, study_instance_uid: str, words: str) -> int:
        """Recall all results of a study, and confirm it."""
        path = f"/studies/{study_instance_uid}/recall"
        asked = self.post(path, reason="quality", words=words)
        found = _CONFIRMED.search(self.page)
        return self.post(path, reason="quality", words=words, confirmed=found[1]) if found else asked

    def _ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> int:
        headers = {"Cookie": f"{COOKIE}={self._cookie}"} if self._cookie else {}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, path, None if fields is None else urlencode(fields), headers)
            answer = connection.getresponse()
            self.page = answer.read().decode()
        given = re.match(rf"{COOKIE}=([^;\"]*)", answer.getheader("Set-Cookie", ""))
        self._cookie = given[1] if given else self._cookie
        found = _TOKEN.search(self.page)
        self._token = found[1] if found else self._token
        return answer.status
