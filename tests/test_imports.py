"""Every module of the three packages can be imported: a type checker does not see each import that leads nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bright_onnx import write_bright_onnx

ROOT = Path(__file__).parents[1]
PACKAGES = {"patchclip_core": ROOT, "patchclip_node": ROOT / "node", "patchclip_trainer": ROOT / "trainer"}
PROGRAMS = ("__main__", "env")
"""Modules that do something when they are imported: programs, and Alembic's environment."""


def modules(package: str) -> list[str]:
    folder = PACKAGES[package] / package
    names = [path.relative_to(PACKAGES[package]).with_suffix("").parts for path in sorted(folder.rglob("*.py"))]
    return [
        ".".join(parts).removesuffix(".__init__")
        for parts in names
        if parts[-1] not in PROGRAMS and "versions" not in parts
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_can_be_imported(package: str) -> None:
    names = modules(package)
    assert len(names) > 50
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception as error: print(name, type(error).__name__, error)\n"
    )

    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr


def test_a_worker_for_onnx_imports_no_torch(tmp_path: Path) -> None:
    """Neither as it is wired nor as it looks at an image, no package that its import would bring, and no network."""
    program = (
        "import sys\n"
        "import patchclip_node.cli.app, patchclip_node.bootstrap.worker, patchclip_core.notebook\n"
        "import numpy as np\n"
        "from patchclip_node.bootstrap.model import load_analyzer\n"
        "from patchclip_node.settings import NodeSettings\n"
        "from patchclip_core.inference.warming import warm_up\n"
        "from patchclip_core.notebook import Model\n"
        "model = load_analyzer(NodeSettings(model=sys.argv[1], tiles=2))\n"
        "warm_up(model)\n"
        "picture = Model(model).analyze(np.eye(300, dtype=np.float32)).plot()\n"
        "print(*[name for name in sys.argv[2:] if name in sys.modules])\n"
    )
    model = write_bright_onnx(tmp_path / "model")
    unused = ("torch", "transformers", "safetensors", "tokenizers", "sympy", "onnx", "sklearn", "pandas", "pynetdicom")

    finished = subprocess.run(
        [sys.executable, "-c", program, str(model), *unused, "onnxruntime"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (finished.returncode, finished.stdout.strip()) == (0, "onnxruntime"), finished.stderr


def test_the_shipped_model_starts_without_libraries_that_it_does_not_use() -> None:
    program = (
        "import sys\n"
        "import patchclip_node.cli.app, patchclip_node.services.analyse, patchclip_node.bootstrap.model as model\n"
        "from patchclip_node.settings import read_settings\n"
        "model.load_analyzer(read_settings(None))\n"
        "print(*[name for name in sys.argv[1:] if name in sys.modules])\n"
    )
    unused = ("sympy", "torch._dynamo", "torch._inductor", "transformers", "scipy.optimize", "pynetdicom", "celery")

    finished = subprocess.run(
        [sys.executable, "-c", program, *unused, "sqlalchemy", "starlette", "matplotlib", "pandas"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert (finished.returncode, finished.stdout.strip()) == (0, ""), finished.stderr
