"""Write THIRD_PARTY.md: what the product needs and holds of other people, each with its licence.

    python tools/third_party.py

Packages are those of the product's lock, licences those of their installed metadata. What no metadata says stands in
tools/third_party.yaml. A licence that is not known, or not allowed, ends it with an error that names the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any, Literal

import yaml
from license_expression import AND, OR, LicenseWithExceptionSymbol, get_spdx_licensing
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict

from tools.lock import LOCKS, ROOT, read_lock

PAGE = ROOT / "THIRD_PARTY.md"
TABLE = Path(__file__).with_suffix(".yaml")
_FIELD = {
    "BSD": None,  # which of them, the licence's text says
    "New BSD": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "ISC License": "ISC",
}
_SPDX = get_spdx_licensing()
_CLASSIFIER = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": None,
}


class UnknownLicenceError(Exception):
    """A package's metadata does not say under which licence it is."""


class Shipped(BaseModel):
    """A row of what the wheel holds beside its own text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    files: str
    kind: Literal["machine-learning-model", "data", "library"]
    what: str
    licence: str
    origin: str


class Table(BaseModel):
    """tools/third_party.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    allowed: frozenset[str]
    exceptions: frozenset[str]
    stated: dict[str, str]
    elsewhere: dict[str, str]
    own: frozenset[str]
    shipped: tuple[Shipped, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the locks, with its licence as an SPDX expression."""

    name: str
    version: str
    licence: str


def read_table() -> Table:
    """Return tools/third_party.yaml."""
    return Table.model_validate(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def licence_of(package: Distribution, stated: Mapping[str, str]) -> str:
    """Return a package's licence as an SPDX expression: as the table states it, else as its metadata does.

    Metadata that say BSD alone are completed by the licence file: the third clause forbids the use of names.
    """
    metadata = package.metadata
    name = str(metadata["Name"])
    if canonicalize_name(name) in stated:
        return stated[canonicalize_name(name)]
    if expressions := metadata.get_all("License-Expression"):
        return str(expressions[0])
    field = next(iter("".join(metadata.get_all("License") or []).splitlines()), "")
    if is_spdx(field):
        return field
    classifiers = {text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if "License ::" in text}
    found = [_FIELD[field]] if field in _FIELD else [_CLASSIFIER.get(text, "") for text in sorted(classifiers)]
    match found:
        case [None]:
            return _which_bsd(package)
        case [str(licence)] if licence:
            return licence
    raise UnknownLicenceError(
        f"{name}: no known licence in {field!r} and {sorted(classifiers)}; state it in {TABLE.name}"
    )


def is_spdx(text: str) -> bool:
    """Whether a text is an SPDX expression of licences that SPDX lists, or of a LicenseRef."""
    try:
        canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return False
    return True


def _which_bsd(package: Distribution) -> str:
    files = [file for file in package.files or [] if re.search(r"licen[cs]e|copying", file.name, flags=re.IGNORECASE)]
    places = [Path(str(file.locate())) for file in files if file.suffix != ".py"]
    text = " ".join(place.read_text(encoding="utf-8", errors="replace") for place in places)
    if "Redistribution" not in text:
        raise UnknownLicenceError(f"{package.metadata['Name']}: BSD, and no licence file says which")
    return "BSD-3-Clause" if re.search(r"names? of .{0,200}endorse", text, flags=re.DOTALL) else "BSD-2-Clause"


def is_allowed(expression: str, table: Table) -> bool:
    """Whether a licence may be accepted: of what OR joins one part, of what AND joins each."""
    if not is_spdx(expression):
        return False

    def accepted(part: Any) -> bool:
        match part:
            case OR():
                return any(map(accepted, part.args))
            case AND():
                return all(map(accepted, part.args))
            case LicenseWithExceptionSymbol():
                return accepted(part.license_symbol) and part.exception_symbol.key in table.exceptions
        return part.key in table.allowed

    return accepted(_SPDX.parse(expression))


def needed(table: Table) -> tuple[list[Package], list[Package]]:
    """Return the packages of the product's locks: those needed everywhere, and those of other systems or for GPUs."""
    common, _, cuda, *_, exported = (read_lock(path) for path in LOCKS)
    pins = sorted({**common, **cuda, **exported}.items())
    elsewhere = [
        Package(pin.name, pin.version, table.elsewhere[name]) for (name, _), pin in pins if name in table.elsewhere
    ]
    here = [
        Package(pin.name, pin.version, licence_of(distribution(name), table.stated))
        for (name, _), pin in pins
        if name not in table.elsewhere
    ]
    return here, elsewhere


def _rows(cells: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def page(table: Table) -> str:
    """Return the text of THIRD_PARTY.md."""
    here, elsewhere = needed(table)
    refused = [f"{one.name}: {one.licence}" for one in here if not is_allowed(one.licence, table)]
    refused += [f"{one.name}: {one.licence}" for one in elsewhere if not is_spdx(one.licence)]
    if refused:
        raise UnknownLicenceError("not allowed by tools/third_party.yaml: " + "; ".join(refused))
    return f"""# What comes from others

Made by `python tools/third_party.py`; licences as SPDX names them. [NOTICE](NOTICE) has the credits of images and
weights. The product itself is under the [Apache License 2.0](LICENSE). Wheels of packages may hold further libraries,
each with its licence file in the package's `dist-info`: those of NumPy and SciPy hold libgfortran and libgcc, GPL 3.0
with the GCC Runtime Library Exception.

## Packages that are installed

| package | version | licence |
|---|---|---|
{_rows((one.name, one.version, one.licence) for one in here)}

## Packages of other systems, and for GPUs

The product ships none of them. `requirements/cuda.lock` installs NVIDIA's libraries from the package index, under
NVIDIA's own terms.

| package | version | licence |
|---|---|---|
{_rows((one.name, one.version, one.licence) for one in elsewhere)}

## In the wheel

No script of other people, and no font.

| files | what | licence | from |
|---|---|---|---|
{_rows((f"<code>{one.files}</code>", one.what, one.licence, one.origin) for one in table.shipped)}
"""


if __name__ == "__main__":
    PAGE.write_text(page(read_table()), encoding="utf-8")
