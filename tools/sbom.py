"""Write the software bill of materials of an environment that the product is installed in, as CycloneDX JSON.

    python tools/sbom.py ENVIRONMENT OUT.json

ENVIRONMENT is a virtual environment or its interpreter. Listed are every package that is installed there and, inside
the product, every file that is not its own text, by its digest: weights, vocabularies, sample images. The list is the
same whenever and wherever it is made of the same files. A file that tools/third_party.yaml does not know is an error.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.third_party import TABLE, Shipped, Table, read_table

PRODUCT = "patchclip"
PACKAGES = ("patchclip_core", "patchclip_node", "patchclip_trainer")
_WHERE = f"""
from importlib.util import find_spec
print(*(find_spec(name).submodule_search_locations[0] for name in {PACKAGES}), sep=chr(10))
"""


class UnknownFileError(Exception):
    """The product holds a file whose origin is stated nowhere."""


def interpreter_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / "bin" / "python" if environment.is_dir() else environment


def packages_of(python: Path) -> dict[str, Any]:
    """Return the CycloneDX document of what is installed beside an interpreter."""
    options = ["--no-validate", "--output-reproducible", "--sv", "1.6", "--of", "JSON", "--output-file", "-"]
    command = [sys.executable, "-m", "cyclonedx_py", "environment", *options, str(python)]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return document


def folders_of(python: Path) -> dict[str, Path]:
    """Return the folder of each of the product's packages, as an interpreter finds them. None of them is imported."""
    command = [str(python), "-c", _WHERE]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(zip(PACKAGES, map(Path, lines), strict=True))


def shipped(folders: Mapping[str, Path], table: Table) -> Iterator[tuple[str, Path, Shipped]]:
    """Yield each file of the product that is not its own text: its name from the package on, its place and its row.

    A checkout has conf/ beside the core, an installation inside it.
    """
    files = {
        f"{package}/{file.relative_to(folder).as_posix()}": file
        for package, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    core = folders["patchclip_core"]
    if not (core / "conf").is_dir():
        beside = core.parent / "conf"
        files |= {
            f"patchclip_core/conf/{file.relative_to(beside)}": file for file in beside.rglob("*") if file.is_file()
        }
    for name, file in sorted(files.items()):
        row = next((row for row in table.shipped if Path(name).match(row.files)), None)
        if row is not None:
            yield name, file, row
        elif file.suffix not in table.own:
            raise UnknownFileError(f"{name}: say in {TABLE.name} what it is, from whom, and under which licence")


def component(name: str, file: Path, row: Shipped) -> dict[str, Any]:
    """Return a shipped file as a component of CycloneDX."""
    reference = row.licence.startswith("LicenseRef-")
    return {
        "type": row.kind,
        "bom-ref": name,
        "name": name,
        "description": f"{row.what}; from {row.origin}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"name" if reference else "id": row.licence}}],
    }


def with_shipped(document: Mapping[str, Any], files: Iterable[tuple[str, Path, Shipped]]) -> dict[str, Any]:
    """Return the document with the product's files inside the product, and without the folder that it was built in."""
    (product,) = [one for one in document["components"] if one["name"] == PRODUCT]
    kept = [link for link in product.get("externalReferences", []) if not link["url"].startswith("file:")]
    complete = {**product, "externalReferences": kept, "components": [component(*file) for file in files]}
    components = [complete if one is product else one for one in document["components"]]
    return {**document, "components": components}


def sbom(environment: Path) -> dict[str, Any]:
    """Return the bill of materials of an environment."""
    python = interpreter_of(environment)
    return with_shipped(packages_of(python), shipped(folders_of(python), read_table()))


def main() -> None:
    """Write the bill of materials."""
    match sys.argv[1:]:
        case [environment, out]:
            document = sbom(Path(environment))
            Path(out).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        case _:
            raise SystemExit("python tools/sbom.py ENVIRONMENT OUT.json")


if __name__ == "__main__":
    main()
