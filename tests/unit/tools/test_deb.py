"""tools/deb.sh: what the Debian package holds, and that its installer verifies what it takes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from patchclip_node.product import PRODUCT_VERSION
from patchclip_node.settings import read_settings
from tests.support.docs import ROOT

SCRIPTS = ("postinst", "prerm", "postrm", "patchclip-install")

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="only Debian and its kind have dpkg-deb")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a wheel that is none, since the program's own takes long to build."""
    folder = tmp_path_factory.mktemp("deb")
    wheel = folder / f"patchclip-{PRODUCT_VERSION}-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    subprocess.run(["sh", "tools/deb.sh", folder / "out", wheel], cwd=ROOT, check=True, capture_output=True)
    return folder / "out" / f"patchclip_{PRODUCT_VERSION}_all.deb"


@pytest.fixture(scope="module")
def root(package: Path) -> Path:
    """The package, unpacked."""
    folder = package.parent / "root"
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def field(package: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_it_holds_the_program_and_nothing_of_others(root: Path) -> None:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())

    assert files == [
        "etc/patchclip/node.yaml",
        "lib/systemd/system/patchclip.service",
        "lib/systemd/system/patchclip@.service",
        "usr/bin/patchclip-node",
        "usr/sbin/patchclip-install",
        "usr/share/doc/patchclip/NOTICE",
        "usr/share/doc/patchclip/THIRD_PARTY.md",
        "usr/share/doc/patchclip/copyright",
        f"usr/share/patchclip/patchclip-{PRODUCT_VERSION}-py3-none-any.whl",
        "usr/share/patchclip/requirements.lock",
        "usr/share/patchclip/requirements/base.lock",
        "usr/share/patchclip/requirements/common.lock",
        "usr/share/patchclip/requirements/cuda.lock",
        "usr/share/patchclip/requirements/results.lock",
        "usr/share/patchclip/requirements/worker-onnx.lock",
    ]
    for unit in ("patchclip.service", "patchclip@.service"):
        packed = root / "lib" / "systemd" / "system" / unit
        assert packed.read_bytes() == (ROOT / "packaging" / "systemd" / unit).read_bytes()


def test_the_settings_are_a_conffile_that_the_node_takes(package: Path, root: Path) -> None:
    control = subprocess.run(
        ["dpkg-deb", "--info", package, "conffiles"], check=True, capture_output=True, text=True
    ).stdout
    settings = read_settings(root / "etc" / "patchclip" / "node.yaml")

    assert control.split() == ["/etc/patchclip/node.yaml"]
    assert (root / "etc" / "patchclip" / "node.yaml").stat().st_mode & 0o007 == 0
    unit = (root / "lib" / "systemd" / "system" / "patchclip.service").read_text()
    assert f"ReadWritePaths={settings.data_dir}\n" in unit


def test_it_says_what_it_is_and_needs(package: Path) -> None:
    assert field(package, "Version") == PRODUCT_VERSION
    assert field(package, "Architecture") == "all"
    assert field(package, "Depends") == "python3 (>= 3.11), python3-venv, adduser"
    assert "not for diagnosis" in field(package, "Description")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_shell_takes_each_script(script: str) -> None:
    checked = subprocess.run(["sh", "-n", ROOT / "packaging" / "deb" / script], capture_output=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, b"")


def test_patients_data_stay_when_the_package_is_purged() -> None:
    removed = (ROOT / "packaging" / "deb" / "postrm").read_text().split("rm -rf")[1:]

    assert [line.splitlines()[0].strip() for line in removed] == ["/opt/patchclip"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lock", "other.lock"], "there is no lock"),
        (["--wheelhouse", "{folder}"], "is not a wheelhouse"),
        (["--quickly", "yes"], "is not an option"),
        (["--lock"], "needs a value"),
    ],
)
def test_the_installer_refuses_before_it_changes_anything(
    root: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    given = [one.format(folder=tmp_path) for one in arguments]
    ended = subprocess.run(
        ["sh", root / "usr" / "sbin" / "patchclip-install", *given],
        env={"PATCHCLIP_ROOT": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert words in ended.stderr
    assert not (root / "opt").exists()


def test_a_damaged_wheelhouse_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "wheelhouse.lock").write_text("")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  wheelhouse.lock\n")

    ended = subprocess.run(
        ["sh", root / "usr" / "sbin" / "patchclip-install", "--wheelhouse", tmp_path],
        env={"PATCHCLIP_ROOT": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "is damaged" in ended.stderr
    assert not (root / "opt").exists()
