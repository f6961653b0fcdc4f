"""Fetches the web viewers that the acceptance tests look at results with, pinned by version and content.

    python tools/viewers.py            into the virtual environment that runs it (share/viewers)

npm fetches them; what is there already is not fetched again. None of them is part of the product.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TARGET = Path(sys.prefix) / "share" / "viewers"


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package.

    sha512: of its archive, in base64, as npm's lock files write it. left_out: parts of its dist that no test needs.
    """

    name: str
    version: str
    sha512: str
    left_out: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "@ohif/app",
        "3.13.2",
        "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==",
        ("dist/ort/", "dist/dicom-microscopy-viewer/"),
    ),
    Package(
        "dwv", "0.36.4", "kXGlujGcCKSJD6s0THa2z4Kn/aVCdltvbgrn8g2WcTA8TgLZJHp6Z0Tbu3gxkerIaMCrTC4TbaWJI0nq9tPAFg=="
    ),
    Package(
        "konva", "10.2.5", "WwBoe/EBhFcv+seL1Wnp3OAOwOFjCY4nCCgpLRrzUzw1IX4lKf/lYhj2Z3qo9P9q2fA3h+OdGDlimSNqZJaY5A=="
    ),
    Package(
        "jszip", "3.10.1", "xXDvecyTpGLrqFrvkrUSoxxfJI5AH7U8zxxtVclpsUtMCq4JQ290LY8AW5c7Ggnr/Y/oK+bQMbqK2qmtk3pN4g=="
    ),
    Package(
        "magic-wand-tool",
        "1.1.7",
        "S4rHzCs/bAp7nhQGKeg+McWuqrdyZKpnu8Ahd8AU7NzuLTm/Hh8tkpv1tW91Kmm59foIrXzip1d+P9NDoyxrZA==",
    ),
)
"""OHIF; dwv and the three libraries that it needs."""


def main() -> int:
    """Fetch what is missing; returns an exit status."""
    started, fetched_bytes = time.monotonic(), 0
    npm = shutil.which("npm")
    for package in PACKAGES:
        if _installed_version(package) == package.version:
            continue
        if npm is None:
            _complain("npm is missing. On Debian or Ubuntu: sudo apt-get install npm")
            return 1
        try:
            fetched_bytes += _install(package, npm)
        except subprocess.CalledProcessError as error:
            _complain(f"npm cannot fetch {package.name}@{package.version}:\n{error.stderr}")
            return 1
        except ValueError as error:
            _complain(str(error))
            return 1
    took_s = time.monotonic() - started
    sys.stdout.write(f"viewers are in {TARGET} (fetched {fetched_bytes / 1e6:.0f} MB in {took_s:.0f} s)\n")
    return 0


def _installed_version(package: Package) -> str | None:
    description = TARGET / package.name / "package.json"
    return str(json.loads(description.read_text())["version"]) if description.is_file() else None


def _install(package: Package, npm: str) -> int:
    """Fetch, verify and unpack; returns the size of the archive in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [npm, "pack", "--silent", f"{package.name}@{package.version}"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        if digest != package.sha512:
            raise ValueError(f"{package.name}@{package.version} has the SHA-512 {digest}, not {package.sha512}")
        place = TARGET / package.name
        shutil.rmtree(place, ignore_errors=True)
        unpacked = place.with_name(f"{place.name}.new")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as tar:
            for member in tar:
                member.name = member.name.removeprefix("package/")
                if not (member.name.endswith(".map") or member.name.startswith(package.left_out)):
                    tar.extract(member, unpacked, filter="data")
        unpacked.rename(place)
    return len(content)


def _complain(message: str) -> None:
    sys.stderr.write(f"viewers: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
