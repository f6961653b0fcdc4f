"""What is published: a wheel that is the same file whenever it is built, and checksums that its key signs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.lock import ROOT

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "conf", "patchclip_core", "node", "trainer")


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def source(folder: Path, changed_at: int, mode: int) -> Path:
    """Copy what the wheel is made of, as it lies here, with other times and rights."""
    kept = subprocess.run(["git", "ls-files", *SOURCES], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in kept.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
        (folder / name).chmod(mode)
        os.utime(folder / name, (changed_at, changed_at))
    return folder


def test_the_wheel_is_the_same_file_in_another_folder_at_another_time(tmp_path: Path) -> None:
    one = source(tmp_path / "one", 1_600_000_000, 0o644)
    other = source(tmp_path / "somewhere" / "else", 1_700_000_001, 0o600)
    (other / "patchclip_core" / "__pycache__").mkdir()
    (other / "patchclip_core" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"left over")
    shutil.copyfile(ROOT / ".gitignore", other / ".gitignore")

    digests = []
    for folder, zone in ((one, "UTC"), (other, "Asia/Tokyo")):
        built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", cwd=folder, TZ=zone)
        assert built.returncode == 0, built.stderr
        (wheel,) = (folder / "dist").glob("*.whl")
        digests.append((wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest()))

    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Makes a throw-away key: its secret and its public half."""

    def make(name: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(name)
        secret, public = folder / "secret.key", folder / "public.pub"
        made = run("minisign", "-G", "-W", "-s", secret, "-p", public)
        assert made.returncode == 0, made.stderr
        return secret, public

    return make


@pytest.fixture(scope="module")
def published(keys: Callable[[str], tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A release of the commit that is checked out, with the bill of materials of this environment; the public key."""
    secret, public = keys("publisher")
    out = tmp_path_factory.mktemp("release") / "out"
    made = run("sh", ROOT / "tools" / "release.sh", secret, out, sys.prefix, PYTHON=sys.executable)
    assert made.returncode == 0, made.stderr
    return out, public


def verify(folder: Path, public: Path) -> bool:
    """Do what the page tells: the signature, then the sums."""
    signed = run("minisign", "-V", "-p", public, "-m", "SHA256SUMS", cwd=folder)
    return signed.returncode == 0 and run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder).returncode == 0


@pytest.mark.peer("minisign")
def test_a_release_is_verified_by_its_key_and_by_no_other(
    published: tuple[Path, Path], keys: Callable[[str], tuple[Path, Path]]
) -> None:
    out, public = published
    _, stranger = keys("stranger")

    assert verify(out, public)
    assert not verify(out, stranger)


@pytest.mark.peer("minisign")
def test_a_release_names_each_of_its_files_and_its_commit(published: tuple[Path, Path]) -> None:
    out, _ = published
    summed = {line.split("  ", 1)[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    files = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}

    assert files - summed == {"SHA256SUMS", "SHA256SUMS.minisig"}
    assert {"requirements.lock", "requirements/common.lock", "sbom.cdx.json", "THIRD_PARTY.md"} < summed
    assert run("git", "rev-parse", "HEAD").stdout.strip() in (out / "SHA256SUMS.minisig").read_text()
    assert json.loads((out / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"


@pytest.mark.peer("minisign")
@pytest.mark.parametrize("changed", ["*.whl", "sbom.cdx.json", "requirements/common.lock", "SHA256SUMS"])
def test_a_changed_file_is_found(changed: str, published: tuple[Path, Path], tmp_path: Path) -> None:
    out, public = published
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    (file,) = copy.glob(changed)
    file.write_bytes(file.read_bytes() + b"\n")

    assert not verify(copy, public)


@pytest.mark.peer("minisign")
def test_what_is_missing_is_named(keys: Callable[[str], tuple[Path, Path]], tmp_path: Path) -> None:
    script, (secret, _) = ROOT / "tools" / "release.sh", keys("another")

    nothing = run("sh", script)
    no_key = run("sh", script, tmp_path / "no.key", tmp_path / "out")
    there = run("sh", script, secret, tmp_path)

    assert "KEY OUT" in nothing.stderr
    assert "no.key is not there" in no_key.stderr
    assert "is there already" in there.stderr
    assert {nothing.returncode, no_key.returncode, there.returncode} == {1}
