"""Each import contract of pyproject.toml bites: a forbidden import, added to a copy of the packages, breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("patchclip_core", "node/patchclip_node", "trainer/patchclip_trainer")


class Breach(NamedTuple):
    contract: str
    module: str
    """Where the import is added, from the root on; a module that is not there is new."""
    imported: str


BREACHES = (
    Breach("the core knows nothing of the node", "patchclip_core/values/results.py", "patchclip_node.product"),
    Breach("the core knows nothing of the node", "patchclip_core/notebook.py", "sqlalchemy"),
    Breach("the core knows nothing of the trainer", "patchclip_core/values/results.py", "patchclip_trainer.errors"),
    Breach("node and trainer never meet", "trainer/patchclip_trainer/data/names.py", "patchclip_node.domain.states"),
    Breach("node and trainer never meet", "node/patchclip_node/domain/states.py", "patchclip_trainer.errors"),
    Breach("only patchclip_core.io reads DICOM", "patchclip_core/values/results.py", "pydicom"),
    Breach("only patchclip_core.io reads DICOM", "patchclip_core/notebook.py", "pydicom"),
    Breach("only patchclip_core.io reads DICOM", "patchclip_core/a_new_module.py", "pydicom.uid"),
    Breach("only patchclip_core.io reads DICOM", "patchclip_core/models/a_new_module.py", "gdcm"),
    Breach("the core's layers", "patchclip_core/values/results.py", "patchclip_core.drawing"),
    Breach("the core's layers", "patchclip_core/models/heads.py", "patchclip_core.io"),
    Breach("the core's layers", "patchclip_core/inference/warming.py", "patchclip_core.notebook"),
    Breach("the core's layers", "patchclip_core/a_new_module.py", "patchclip_core.values"),
    Breach("the node's layers", "node/patchclip_node/domain/states.py", "patchclip_node.ports.clock"),
    Breach("the node's layers", "node/patchclip_node/services/deliver.py", "patchclip_node.demo.run_demo"),
    Breach("the node's layers", "node/patchclip_node/domain/states.py", "patchclip_node.settings"),
    Breach("the node's layers", "node/patchclip_node/product.py", "patchclip_node.samples"),
    Breach("the node's layers", "node/patchclip_node/a_new_module.py", "patchclip_node.domain.states"),
    Breach("the trainer's layers", "trainer/patchclip_trainer/data/names.py", "patchclip_trainer.metrics.froc"),
    Breach(
        "the trainer's layers", "trainer/patchclip_trainer/simulation/draw.py", "patchclip_trainer.evaluation.pictures"
    ),
    Breach("the trainer's layers", "trainer/patchclip_trainer/a_new_module.py", "patchclip_trainer.errors"),
    Breach(
        "the layers of training",
        "trainer/patchclip_trainer/training/loop/training_run.py",
        "patchclip_trainer.training.stage2",
    ),
    Breach("the layers of training", "trainer/patchclip_trainer/training/a_new_module.py", "torch"),
    Breach(
        "simulation depends on data alone",
        "trainer/patchclip_trainer/simulation/lesions.py",
        "patchclip_trainer.metrics.froc",
    ),
    Breach("simulation depends on data alone", "trainer/patchclip_trainer/simulation/a_new_module.py", "torch"),
    Breach(
        "no circle, neither between rooms nor between modules of a room",
        "node/patchclip_node/domain/errors.py",
        "patchclip_node.domain.records",
    ),
    Breach(
        "no circle, neither between rooms nor between modules of a room",
        "patchclip_core/places/regions.py",
        "patchclip_core.places.targets",
    ),
    Breach("results, the receiver and the lanes are free of torch", "node/patchclip_node/results/envelope.py", "torch"),
    Breach(
        "results, the receiver and the lanes are free of torch",
        "node/patchclip_node/dicom/codes.py",
        "patchclip_core.models.network",
    ),
    Breach("a worker for ONNX is free of torch", "patchclip_core/places/preprocess.py", "torch"),
    Breach("a worker for ONNX is free of torch", "patchclip_core/inference/scales.py", "patchclip_core.models.network"),
    Breach("who receives and shows pages needs no extra", "node/patchclip_node/scp/places.py", "numpy"),
    Breach("who receives and shows pages needs no extra", "node/patchclip_node/web/a_new_module.py", "PIL.Image"),
    Breach("who receives and shows pages needs no extra", "node/patchclip_node/dicom/codes.py", "highdicom"),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the packages and their contracts, without weights and other data."""
    folder = tmp_path_factory.mktemp("contracts")
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


@contextmanager
def imported(module: Path, name: str) -> Iterator[None]:
    before = module.read_bytes() if module.is_file() else None
    module.write_bytes((before or b"") + f"\nimport {name}\n".encode())
    try:
        yield
    finally:
        if before is None:
            module.unlink()
        else:
            module.write_bytes(before)


def lint(folder: Path) -> dict[str, str]:
    """Return what `lint-imports` says of each contract: KEPT or BROKEN."""
    code = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )
    paths = [str(folder), str(folder / "node"), str(folder / "trainer")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    words = {name: done.stdout.partition(f"\n{name} ")[2].split(maxsplit=1) for name in contracts()}
    assert all(words.values()), f"not all contracts were checked:\n{done.stdout}\n{done.stderr}"
    return {name: said[0] for name, said in words.items()}


def contracts() -> list[str]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in content["tool"]["importlinter"]["contracts"]]


def test_the_copy_keeps_all_contracts(copy: Path) -> None:
    assert set(lint(copy).values()) == {"KEPT"}


def test_no_contract_goes_untried() -> None:
    assert {breach.contract for breach in BREACHES} == set(contracts())


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: f"{breach.module} imports {breach.imported}")
def test_a_forbidden_import_breaks_its_contract(breach: Breach, copy: Path) -> None:
    with imported(copy / breach.module, breach.imported):
        said = lint(copy)

    assert said[breach.contract] == "BROKEN"
