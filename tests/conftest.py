"""Which real peers and real images this run has, and what happens where one is missing."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from patchclip_node.settings import TEST_VARIABLES

hypothesis.settings.register_profile("same every time", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True)
hypothesis.settings.load_profile("same every time")
"""What is drawn is the same in every run, so that a failure is a change's own; `--hypothesis-profile thorough` draws at
random, and far more where a test says so (`make mutations`)."""

VIEWERS = f"{sys.prefix}/share/viewers"
OPENID_PROVIDER = f"{sys.prefix}/share/openid-provider"

PEERS: dict[str, tuple[tuple[str, ...], str]] = {
    "cc": (("cc",), "apt-get install gcc libc6-dev"),
    "openssl": (("openssl",), "apt-get install openssl"),
    "sslscan": (("sslscan",), "apt-get install sslscan"),
    "dcmtk": (("echoscu", "storescu", "storescp", "dcmcjpeg", "dcmcjpls", "dcmdump"), "apt-get install dcmtk"),
    "orthanc": (("Orthanc|/usr/sbin/Orthanc",), "apt-get install orthanc"),
    "dciodvfy": (("dciodvfy", "dcentvfy"), "apt-get install dicom3tools"),
    "pixelmed": (
        ("DicomSRValidator", "javac"),
        "apt-get install pixelmed-apps libpixelmed-java default-jdk-headless",
    ),
    "moto": ((f"{sys.prefix}/bin/moto_server",), "pip install 'patchclip[dev]'"),
    "redis": (("redis-server",), "apt-get install redis-server"),
    "hosts": (
        ("ip|/usr/sbin/ip", "unshare", "setpriv", "iptables|/usr/sbin/iptables"),
        "make endurance-peers",
    ),
    "postgresql": (("pg_ctl|/usr/lib/postgresql/*/bin/pg_ctl",), "apt-get install postgresql"),
    "patroni": (
        ("patroni", "etcd", "haproxy|/usr/sbin/haproxy"),
        "make endurance-peers",
    ),
    "swift": (
        ("swift-ring-builder", *(f"swift-{one}-server" for one in ("account", "container", "object", "proxy"))),
        "make endurance-peers",
    ),
    "chromium": (("chromium",), "apt-get install chromium"),
    "ohif": (
        ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", f"{VIEWERS}/@ohif/app/dist/index.html"),
        "apt-get install orthanc-dicomweb; make viewers",
    ),
    "oidc-provider": (
        ("node", f"{OPENID_PROVIDER}/node_modules/oidc-provider/package.json"),
        "apt-get install npm; make viewers",
    ),
    "nginx": (("nginx|/usr/sbin/nginx", "curl"), "apt-get install nginx-light curl"),
    "minisign": (("minisign",), "apt-get install minisign"),
    "promtool": (("promtool",), "apt-get install prometheus"),
    "systemd-analyze": (("systemd-analyze",), "apt-get install systemd"),
    "rsyslog": (
        ("rsyslogd|/usr/sbin/rsyslogd", "/usr/lib/*/rsyslog/lmnsd_gtls.so"),
        "apt-get install rsyslog rsyslog-gnutls",
    ),
    "dwv": ((f"{VIEWERS}/dwv/dist/dwv.min.js",), "make viewers"),
    "dicomscope": (("dicomscope", "Xvfb", "javac"), "apt-get install dicomscope xvfb default-jdk-headless"),
}
"""peer -> (its needs, how to get them). A need is a program or a file; `|` stands between those of which one does."""

REQUIRE_PEERS = os.environ.get("PATCHCLIP_REQUIRE_PEERS", "") not in {"", "0"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests in tests/endurance; they are here because pytest asks for options before it looks there."""
    group = parser.getgroup("endurance")
    group.addoption("--endurance", action="store_true", help="run the tests of tests/endurance at full length")
    group.addoption(
        "--endurance-seed", type=int, default=12, help="what their chance comes from (default: %(default)s)"
    )
    group.addoption("--endurance-seconds", type=float, default=None, help="end each of them after this long")


def missing_programs(peer: str) -> list[str]:
    """Return what a peer needs and this machine lacks."""
    return [need for need in PEERS[peer][0] if not any(_is_there(name) for name in need.split("|"))]


def _is_there(program: str) -> bool:
    if "/" in program:
        return any(Path("/").glob(program.lstrip("/")))
    return shutil.which(program) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what needs a peer that is not here; where peers are required leave it to fail in its set-up."""
    for item in items:
        for marker in item.iter_markers("peer"):
            for peer in marker.args:
                if missing_programs(peer) and not REQUIRE_PEERS:
                    item.add_marker(pytest.mark.skip(reason=f"peer {peer} is not installed ({PEERS[peer][1]})"))
        if item.get_closest_marker("real_data") and _real_data_dir() is None and not REQUIRE_PEERS:
            item.add_marker(pytest.mark.skip(reason="PATCHCLIP_TEST_DATA names no folder of real images"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose peer is required and missing."""
    for marker in item.iter_markers("peer"):
        for peer in marker.args:
            missing = missing_programs(peer)
            if missing and REQUIRE_PEERS:
                pytest.fail(f"peer {peer} is required and lacks {', '.join(missing)}: {PEERS[peer][1]}")


def _real_data_dir() -> Path | None:
    name = os.environ.get("PATCHCLIP_TEST_DATA", "")
    folder = Path(name).resolve() if name else None
    return folder if folder is not None and folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder of real images that PATCHCLIP_TEST_DATA names."""
    folder = _real_data_dir()
    if folder is None:
        pytest.skip("PATCHCLIP_TEST_DATA names no folder of real images")
    return folder


@pytest.fixture(scope="session")
def pictures_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests keep what viewers showed: the folder that PATCHCLIP_TEST_PICTURES names, or a temporary one."""
    name = os.environ.get("PATCHCLIP_TEST_PICTURES", "")
    folder = Path(name).resolve() if name else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own PATCHCLIP_ variables, and how wide a terminal is, must not change what the tests see."""
    monkeypatch.delenv("COLUMNS", raising=False)
    for name in list(os.environ):
        if name.startswith("PATCHCLIP_") and name not in TEST_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command or a process that ran within the test has configured: the next test's logging is its own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what this run was made with."""
    here = sorted(peer for peer in PEERS if not missing_programs(peer))
    absent = sorted(set(PEERS) - set(here))
    folder = _real_data_dir()
    terminalreporter.section("what was used")
    terminalreporter.line(
        f"real peers: {', '.join(here) or 'none'}" + (f"; missing: {', '.join(absent)}" if absent else "")
    )
    terminalreporter.line(
        f"real images: {len(list((folder / 'images').glob('*')))} images and {len(list((folder / 'dicom').glob('*')))} "
        "DICOM files of PATCHCLIP_TEST_DATA"
        if folder
        else "real images: only those that the project carries (PATCHCLIP_TEST_DATA is not set)"
    )
