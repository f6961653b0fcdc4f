"""Our own web server on loopback for viewers that are web pages; what it does not have, it gets from an archive."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "accept-encoding", "host", "content-length"}


@dataclass(frozen=True, slots=True)
class Site:
    """What is served.

    places: prefix of a path -> folder, or a path -> file; the longest one that fits counts.
    single_page: served where no file has the path, as an application wants that makes its paths itself.
    archive_port: of the HTTP server that paths of `archive_prefixes` are passed on to.
    """

    places: Mapping[str, Path]
    single_page: Path | None = None
    archive_port: int | None = None
    archive_prefixes: tuple[str, ...] = ("/dicom-web/", "/wado")

    def file(self, path: str) -> Path | None:
        """Return the file of a path, None where there is none."""
        for prefix, place in sorted(self.places.items(), key=lambda item: -len(item[0])):
            if path == prefix and place.is_file():
                return place
            if prefix.endswith("/") and path.startswith(prefix):
                wanted = (place / path.removeprefix(prefix)).resolve()
                if wanted.is_file() and wanted.is_relative_to(place.resolve()):
                    return wanted
        return self.single_page


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """Serve the site for the time of the context; yields its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, site=site)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, site: Site) -> None:
        self._site = site
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self._site.archive_port is not None and self.path.startswith(self._site.archive_prefixes):
            self._pass_on(self._site.archive_port)
        elif self._site.file(self.path.partition("?")[0]) is None:
            self.send_error(404)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def translate_path(self, path: str) -> str:
        return str(self._site.file(path.partition("?")[0]))

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""

    def _pass_on(self, port: int) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        # Orthanc 1.10 ignores an includefield list whose commas are percent-encoded.
        path = self.path.replace("%2C", ",").replace("%2c", ",")
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as archive:
            archive.request(self.command, path, body or None, headers)
            answer = archive.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
