"""Who receives and shows pages needs no extra; who does is told which one, in a line."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from patchclip_core.terminal import EXTRA_OF
from tests.support.bright_onnx import write_bright_onnx

PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

PROGRAM = """
import importlib.abc, importlib.util, json, sys
blocked, arguments = set(json.loads(sys.argv[1])), json.loads(sys.argv[2])
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in blocked else found(name, *more)
import patchclip_node.cli as cli
for module in arguments["modules"]:
    importlib.import_module(module)
sys.argv = ["patchclip-node", *arguments["command"]]
cli.main()
"""


def ran(*command: str, modules: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `patchclip-node COMMAND` after importing modules, as if no package of an extra were installed."""
    given = json.dumps({"modules": modules, "command": command})
    arguments = [sys.executable, "-c", PROGRAM, json.dumps(list(EXTRA_OF)), given]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_what_is_missed_is_what_the_extras_bring() -> None:
    """And each of them is named under the extra that has it first."""
    names = packages_distributions()
    brought = {
        canonicalize_name(Requirement(text).name): extra
        for extra in ("worker-onnx", "trainer", "worker", "results")
        for text in PROJECT["optional-dependencies"][extra]
    }
    del brought[canonicalize_name(PROJECT["name"])]

    assert {canonicalize_name(names[module][0]): extra for module, extra in EXTRA_OF.items()} == brought


def test_receiver_pages_and_doctor_need_no_extra() -> None:
    processes = ("receiver", "web", "supervisor")

    ended = ran("--version", modules=tuple(f"patchclip_node.bootstrap.{name}" for name in processes))

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_worker_names_the_extra_that_it_misses(command: str, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")

    ended = ran(command, "--config", str(tmp_path / "node.yaml"))

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "pip install 'patchclip[worker]'" in line


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_worker_for_an_exported_model_names_the_extra_without_torch(command: str, tmp_path: Path) -> None:
    model = write_bright_onnx(tmp_path / "model")
    (tmp_path / "node.yaml").write_text(f"data_dir: {tmp_path / 'data'}\nmodel: {model}\n")

    ended = ran(command, "--config", str(tmp_path / "node.yaml"))

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "needs onnxruntime" in line
    assert "pip install 'patchclip[worker-onnx]'" in line


def test_who_delivers_names_the_extra_that_it_misses(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")

    ended = ran("deliver", "--config", str(tmp_path / "node.yaml"))

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "pip install 'patchclip[results]'" in line


def test_doctor_looks_at_the_rest_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")

    ended = ran("doctor", "--json", "--config", str(tmp_path / "node.yaml"))

    found = {one["check"]: one for one in json.loads(ended.stdout)}
    assert {found[name]["status"] for name in ("model", "decoders")} == {"warn"}
    assert "patchclip[worker]" in found["model"]["detail"]
    assert "patchclip[results]" in found["decoders"]["detail"]
    assert found["ledger"]["status"] == found["data folder"]["status"] == "ok"
