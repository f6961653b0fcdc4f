"""The lock files: closed on every system that they are for, by digests, without what the product does not need."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.lock import LOCKS, ROOT, Pin, closure, environments, is_for_the_locks, of_the_product, read_lock, where

COMMON, PROCESSORS, CUDA, BUILD, DEV, BASE, RESULTS, WORKER_ONNX = (read_lock(path) for path in LOCKS)
PRODUCT = {**COMMON, **PROCESSORS}
EVERYTHING = {**PRODUCT, **BUILD, **DEV}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = "requirements.lock" if distribution("torch").version.endswith("+cpu") else "requirements/cuda.lock"


@cache
def needs_of(name: str) -> list[Requirement]:
    """Return what an installed package needs anywhere without an extra; of one that is not installed, nothing."""
    try:
        needs = [Requirement(text) for text in distribution(name).requires or []]
    except PackageNotFoundError:
        return []
    return [need for need in needs if "extra ==" not in str(need.marker)]


def not_pinned(pins: Mapping[tuple[str, str], Pin], place: dict[str, str]) -> dict[str, str]:
    """Return what the pins of a lock need in an environment and do not pin there, with who needs it."""
    versions = {
        name: pin.version
        for (name, _), pin in pins.items()
        if not pin.marker or Marker(pin.marker).evaluate({**place, "extra": ""})
    }
    lacking = {}
    for name in versions:
        for need in needs_of(name):
            applies = need.marker is None or need.marker.evaluate({**place, "extra": ""})
            if applies and versions.get(canonicalize_name(need.name), "") not in need.specifier:
                lacking[str(need)] = name
    return lacking


@pytest.mark.parametrize("place", list(environments()), ids=lambda place: "-".join(map(str, list(place.values())[1:5])))
def test_what_a_pinned_package_needs_is_pinned_in_every_environment(place: dict[str, str]) -> None:
    for pins in (PRODUCT, EVERYTHING, BUILD):
        assert not_pinned(pins, place) == {}


def test_a_need_that_is_not_pinned_is_seen() -> None:
    (click,) = [name for name in COMMON if name[0] == "click"]
    (place, *_) = environments()

    assert "celery" in not_pinned({name: pin for name, pin in PRODUCT.items() if name != click}, place).values()


def test_the_products_lock_has_what_the_product_needs_and_nothing_else() -> None:
    assert {name for name, _ in PRODUCT} == set(closure(of_the_product(PROJECT)))


MODEL = {"torch", "transformers", "scipy", "scikit-learn", "tensorboardx"}
IMAGES = {"numpy", "pillow", "highdicom", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm"}


@pytest.mark.parametrize(
    ("pins", "extra", "without"),
    [(BASE, [], MODEL | IMAGES), (RESULTS, PROJECT["optional-dependencies"]["results"], MODEL)],
    ids=["base", "results"],
)
def test_the_lock_of_a_machine_without_a_worker_is_closed_without_what_that_needs(
    pins: Mapping[tuple[str, str], Pin], extra: list[str], without: set[str]
) -> None:
    place = next(environments())

    assert {name for name, _ in pins} == set(closure([*PROJECT["dependencies"], *extra]))
    assert not_pinned(pins, place) == {}
    assert pins.items() <= COMMON.items()
    assert without & {name for name, _ in pins} == set()
    assert without <= {name for name, _ in PRODUCT}


def test_a_worker_for_onnx_gets_onnxruntime_and_no_torch() -> None:
    own = closure(of_the_product(PROJECT, ["results", "worker-onnx"]))

    assert {name for name, _ in WORKER_ONNX} == set(own) > {"onnxruntime", "scipy", *IMAGES}
    assert not_pinned(WORKER_ONNX, next(environments())) == {}
    assert (MODEL - {"scipy"}) & set(own) == set()
    assert {**COMMON, **DEV, **WORKER_ONNX} == {**COMMON, **DEV}


def test_no_test_tool_is_in_the_products_lock() -> None:
    tools = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"]["dev"]}

    assert {"pytest", "playwright", "hypothesis", "atheris", "ruff"} <= tools
    assert tools & {name for name, _ in {**PRODUCT, **CUDA}} == set()


def test_the_locks_have_the_versions_that_the_tests_run_with() -> None:
    installed = {}
    for name, version in {**COMMON, **BUILD, **DEV, **WORKER_ONNX}:
        try:
            installed[name, version] = Version(distribution(name).version).public
        except PackageNotFoundError:
            continue

    assert len(installed) > 100
    assert {pinned: version for pinned, version in installed.items() if pinned[1] != version} == {}


def test_every_pin_has_a_digest_and_only_pytorch_has_two_builds() -> None:
    assert [pin.name for pin in {**EVERYTHING, **CUDA}.values() if not pin.digests] == []
    assert [name for name, _ in PROCESSORS] == ["torch", "torch"]
    assert {name for name, _ in CUDA} & {name for name, _ in COMMON} == set()
    (version,) = [version for name, version in CUDA if name == "torch"]
    assert {version for _, version in PROCESSORS} == {version, f"{version}+cpu"}


def test_pip_takes_the_locks_and_finds_this_environment_complete() -> None:
    locks = [
        text for lock in (LOCK, "requirements/build.lock", "requirements/dev.lock") for text in ("--requirement", lock)
    ]
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "--require-hashes", *locks]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}

    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert "Would install" not in finished.stdout


def test_what_was_written_is_read(tmp_path: Path) -> None:
    pins = [Pin("One", "1.0", ("a" * 64,)), Pin("two", "2", ("b" * 64, "c" * 64), 'sys_platform == "linux"')]
    (tmp_path / "some.lock").write_text("# says\n-r other.lock\n" + "".join(f"{pin}\n" for pin in pins))

    assert read_lock(tmp_path / "some.lock") == {("one", "1.0"): pins[0], ("two", "2"): pins[1]}


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp311-cp311-manylinux_2_28_x86_64", True),
        ("cp37-abi3-manylinux2014_aarch64", True),
        ("cp314-cp314-macosx_11_0_arm64", True),
        ("cp310-cp310-manylinux_2_28_x86_64", False),
        ("cp315-abi3-manylinux_2_28_x86_64", False),
        ("cp314-cp314t-manylinux_2_28_x86_64", False),
        ("cp311-cp311-win_amd64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
        ("pp311-pypy311_pp73-manylinux2014_x86_64", False),
    ],
)
def test_digests_are_of_files_that_python_takes_on_linux_and_macos(tag: str, wanted: bool) -> None:
    assert any(is_for_the_locks(one) for one in parse_tag(tag)) == wanted


def test_what_is_needed_in_some_places_alone_says_where() -> None:
    old, windows = Requirement('a; python_version < "3.12"'), Requirement('a>1; sys_platform == "win32"')

    assert where([old]) == 'python_version < "3.12"'
    assert where([old, windows]) == 'python_version < "3.12" or sys_platform == "win32"'
    assert where([old, Requirement("a")]) == ""
