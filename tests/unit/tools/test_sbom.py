"""The bill of materials: every package, weight and vendored file of an environment, and nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.lock import ROOT
from tools.sbom import PACKAGES, PRODUCT, UnknownFileError, folders_of, packages_of, sbom, shipped, with_shipped
from tools.third_party import read_table

CORE = ROOT / "patchclip_core"
FOLDERS = ("patchclip_core", "node/patchclip_node", "trainer/patchclip_trainer")


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    """The bill of materials of the environment that the tests run in."""
    return sbom(Path(sys.executable))


def environment(folder: Path, *packages: str) -> Path:
    """Make an environment of the product and these packages, `name==version` each, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in (text.split("==") for text in [f"{PRODUCT}==0.1.0", *packages]):
        described = site / f"{name}-{version}.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin" / "python"


def names(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["name"], one["version"]) for one in document["components"]}


def inside(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (product,) = [one for one in document["components"] if one["name"] == PRODUCT]
    return {one["name"]: one for one in product["components"]}


def test_every_installed_package_is_listed_and_nothing_else(here: dict[str, Any]) -> None:
    installed = {(one.metadata["Name"], one.version) for one in distributions(path=[sysconfig.get_path("purelib")])}

    assert len(installed) > 100
    assert names(here) == installed


def test_a_package_more_is_a_line_more(tmp_path: Path) -> None:
    found = packages_of(environment(tmp_path / "one", "celery==5.7.0", "something==3"))

    assert names(found) == {(PRODUCT, "0.1.0"), ("celery", "5.7.0"), ("something", "3")}


def test_every_shipped_weight_is_listed_by_the_digest_of_its_file(here: dict[str, Any]) -> None:
    weights = {f"patchclip_core/{file.relative_to(CORE)}": file for file in CORE.glob("weights/**/*.safetensors")}

    assert len(weights) >= 3
    for name, file in weights.items():
        one = inside(here)[name]
        assert one["type"] == "machine-learning-model"
        assert one["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]


def test_the_product_holds_what_git_keeps_beside_its_own_text_and_nothing_else(here: dict[str, Any]) -> None:
    own = read_table().own
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    packaged = [file for file in kept if file.startswith(("conf/", *(f"{folder}/" for folder in FOLDERS)))]
    foreign = {file for file in packaged if Path(file).suffix not in own} | {"conf/chest_check.yaml"}

    assert len(foreign) > 20
    assert {Path(name).name for name in inside(here)} == {Path(file).name for file in foreign}
    assert len(inside(here)) == len(foreign)


@pytest.mark.parametrize("name", ["htmx.min.js", "font.woff2", "model.onnx"])
def test_a_vendored_file_that_nobody_has_stated_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    folders = {}
    for package in PACKAGES:
        folders[package] = tmp_path / package
        folders[package].mkdir()
    (tmp_path / "conf").mkdir()
    (folders["patchclip_node"] / "page.html").touch()
    assert list(shipped(folders, read_table())) == []

    (folders["patchclip_node"] / name).touch()

    with pytest.raises(UnknownFileError, match=f"patchclip_node/{name}"):
        list(shipped(folders, read_table()))


def test_each_row_of_the_table_has_a_file() -> None:
    rows = {row for _, _, row in shipped(folders_of(Path(sys.executable)), read_table())}

    assert rows == set(read_table().shipped)


def test_the_document_keeps_the_schema_of_cyclonedx_and_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    python = environment(tmp_path / "one", "celery==5.7.0")
    document = with_shipped(packages_of(python), shipped(folders_of(Path(sys.executable)), read_table()))
    text = json.dumps(document)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "file:" not in text
    assert str(ROOT) not in text
