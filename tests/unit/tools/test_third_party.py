"""THIRD_PARTY.md is made of locks and metadata; no licence is unknown, and none is one that is not allowed."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from typing import cast

import pytest

from tools.third_party import (
    PAGE,
    UnknownLicenceError,
    is_allowed,
    is_spdx,
    licence_of,
    needed,
    page,
    read_table,
)

TABLE = read_table()
HERE, ELSEWHERE = needed(TABLE)


class Described(Distribution):
    """A package of which only metadata and a licence file are there."""

    def __init__(self, folder: Path, fields: Mapping[str, str | list[str]], text: str = "") -> None:
        self._folder = folder
        self._message = Message()
        self._message["Name"] = "described"
        for name, values in fields.items():
            for value in [values] if isinstance(values, str) else values:
                self._message[name.replace("_", "-")] = value
        (folder / "LICENSE").write_text(text)

    def read_text(self, filename: str) -> str | None:
        if filename == "RECORD":
            return "LICENSE,,\n"
        return str(self._message) if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return self._folder / cast("Path", path)


def test_the_page_is_what_the_locks_and_the_installed_metadata_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(TABLE)


def test_no_package_of_the_product_has_an_unknown_or_forbidden_licence() -> None:
    assert len(HERE) > 80
    assert [one for one in HERE if not is_allowed(one.licence, TABLE)] == []
    assert [one for one in ELSEWHERE if not is_spdx(one.licence)] == []
    assert {one.name for one in ELSEWHERE if not is_allowed(one.licence, TABLE)} == {
        one.name for one in ELSEWHERE if one.name.startswith("nvidia-") or one.name == "cuda-toolkit"
    } - {"nvidia-nvtx"}


def test_nothing_is_stated_of_packages_that_are_not_needed() -> None:
    assert set(TABLE.stated) <= {one.name for one in HERE}
    assert set(TABLE.elsewhere) == {one.name for one in ELSEWHERE}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("LGPL-2.1-or-later", False),
        ("AGPL-3.0-only OR MIT", True),
        ("AGPL-3.0-only AND MIT", False),
        ("MIT AND (Apache-2.0 OR GPL-2.0-only)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 WITH Classpath-exception-2.0", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_by_all_of_its_parts(expression: str, allowed: bool) -> None:
    assert is_allowed(expression, TABLE) == allowed


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT OR Apache-2.0", "License": "see file"}, "MIT OR Apache-2.0"),
        ({"License": "BSD-3-Clause"}, "BSD-3-Clause"),
        ({"License": "Apache 2.0 License", "Classifier": "License :: OSI Approved :: MIT License"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"License": "Copyright (c) 2001, a company", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
    ],
)
def test_a_licence_is_read_from_each_field_of_metadata(fields: dict[str, str], licence: str, tmp_path: Path) -> None:
    assert licence_of(Described(tmp_path, fields), {}) == licence


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (
            "Redistribution and use ... Neither the name of X nor the names of others may be used\nto endorse",
            "BSD-3-Clause",
        ),
        ("Redistribution and use in source and binary forms are permitted", "BSD-2-Clause"),
    ],
)
def test_which_bsd_it_is_says_the_licence_file(text: str, licence: str, tmp_path: Path) -> None:
    assert licence_of(Described(tmp_path, {"License": "BSD"}, text), {}) == licence


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"License": "ours alone"},
        {"License": "BSD"},
        {"Classifier": "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"},
        {"Classifier": ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: BSD License"]},
    ],
)
def test_metadata_that_do_not_say_which_licence_are_an_error_with_the_package_s_name(
    fields: dict[str, str | list[str]], tmp_path: Path
) -> None:
    with pytest.raises(UnknownLicenceError, match="described"):
        licence_of(Described(tmp_path, fields), {})

    assert licence_of(Described(tmp_path, fields), {"described": "MIT"}) == "MIT"
