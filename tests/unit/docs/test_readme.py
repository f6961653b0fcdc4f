"""README.md: its targets are the Makefile's, its folders are there; `make check` and CI run the same."""

from __future__ import annotations

import re

from tests.support.docs import ROOT, in_code, page, table

README, MAKEFILE, CI = page("README.md"), page("Makefile"), page(".ci/run")
RULES = dict(re.findall(r"^([a-z-]+):([^#\n]*)", MAKEFILE, flags=re.MULTILINE))


def test_the_table_has_each_target_of_the_makefile_and_no_other() -> None:
    listed = [in_code(row[0])[0] for row in table(README, "`make ...`")]

    assert sorted(listed) == sorted(RULES)


def test_each_target_is_phony_and_says_what_it_does() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)

    assert sorted(phony.split()) == sorted(RULES)
    assert [name for name in RULES if not re.search(rf"^{name}:.*## .+", MAKEFILE, flags=re.MULTILINE)] == []


def test_what_check_runs_is_what_the_table_says() -> None:
    (said,) = [row[1] for row in table(README, "`make ...`") if row[0] == "`check`"]

    assert [word for word in in_code(said) if word in RULES] == RULES["check"].split()


def test_ci_runs_the_targets_of_check_the_demo_and_one_installation_and_nothing_else() -> None:
    steps = re.findall(r'^step "[^"]*" (.*)$', CI, flags=re.MULTILINE)

    assert steps == [
        "install_peers", "make venv", "make viewers", *(f"make {name}" for name in RULES["check"].split()), "make demo",
        "make install-check WAYS=base",
    ]  # fmt: skip


def test_the_folders_of_the_table_are_those_of_the_repository() -> None:
    listed = {in_code(row[0])[0].rstrip("/").split("/")[0] for row in table(README, "folder")}
    kept = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}

    assert listed == kept - {"out", "var", "build", "dist", "shared"}
