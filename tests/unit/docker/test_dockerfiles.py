"""docker/*.Dockerfile: pinned, for a user without rights, made of what the build is given."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

from patchclip_node.settings import NodeSettings
from tests.support.containers import DOCKERFILES, FOLDER, ROOT, final_stage, stages_of
from tools.viewers import PACKAGES

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
OURS = [FOLDER / "node.Dockerfile", FOLDER / "trainer.Dockerfile"]


@each_dockerfile
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    command = [f"{sys.prefix}/bin/hadolint", "--no-color", "--config", str(FOLDER / "hadolint.yaml"), str(dockerfile)]

    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (finished.returncode, finished.stdout) == (0, "")


@each_dockerfile
def test_every_base_is_another_stage_or_an_image_of_a_full_version(dockerfile: Path) -> None:
    stages = stages_of(dockerfile)
    bases = {stage.base for stage in stages.values()} - {"${ACCELERATOR}"}

    assert bases
    assert [base for base in bases if not re.fullmatch(r"[a-z0-9/]+:\d+\.\d+[\w.-]*", base)] == []


@each_dockerfile
def test_the_image_runs_as_a_user_by_number_who_is_not_root(dockerfile: Path) -> None:
    (user,) = final_stage(dockerfile).all("USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert final_stage(dockerfile).instructions[-1].word == "CMD"


@each_dockerfile
def test_nothing_secret_is_named(dockerfile: Path) -> None:
    assert re.findall(r"(?i)password|token|secret|api_?key", dockerfile.read_text(encoding="utf-8")) == []


def ignored(path: str) -> bool:
    """Say whether .dockerignore, whose first line ignores all, keeps a path from the build."""
    first, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert first == "*"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    return not any(path == place or path.startswith(f"{place}/") for place in allowed)


@each_dockerfile
def test_what_is_copied_is_there_and_reaches_the_build(dockerfile: Path) -> None:
    copied = [
        source
        for stage in stages_of(dockerfile).values()
        for rest in stage.all("COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    ]

    assert copied
    assert [source for source in copied if not (ROOT / source).exists() or ignored(source)] == []


@pytest.mark.parametrize("path", [".env", "docker/.env", ".git/config", "tests/conftest.py", "var/ledger.sqlite"])
def test_what_is_none_of_the_images_business_does_not_reach_the_build(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize("dockerfile", OURS, ids=lambda path: path.stem)
def test_cpu_and_cuda_are_the_stages_that_the_argument_chooses_from(dockerfile: Path) -> None:
    stages = stages_of(dockerfile)

    assert "ARG ACCELERATOR=cpu\n" in dockerfile.read_text().split("FROM")[0]
    assert stages["installed"].base == "${ACCELERATOR}"
    index = "https://download.pytorch.org/whl/cpu"
    assert stages["cpu"].environment == {"LOCK": "requirements.lock", "PIP_EXTRA_INDEX_URL": index}
    assert stages["cuda"].environment == {"LOCK": "requirements/cuda.lock"}


@pytest.mark.parametrize("dockerfile", OURS, ids=lambda path: path.stem)
def test_whatever_is_installed_has_its_digest_in_a_lock_or_was_built_here(dockerfile: Path) -> None:
    installs = re.findall(r"pip install (.*?)(?: \\|$)", dockerfile.read_text(), flags=re.MULTILINE)

    assert len(installs) == 3
    for options in installs:
        assert "--require-hashes" in options or options.endswith("--no-deps /wheels/*.whl"), options


def test_node_and_trainer_are_installed_in_the_same_way() -> None:
    node, trainer = (
        # A trainer always trains, with PyTorch.
        [stage for stage in list(stages_of(path).values())[:-1] if stage.name not in {"none", "onnx"}]
        for path in OURS
    )

    assert node == trainer


def test_every_python_is_of_one_image_that_the_package_takes() -> None:
    bases = {stage.base for path in OURS for stage in stages_of(path).values()} - {"${ACCELERATOR}"}

    assert len(bases) == 1
    assert bases.pop().startswith("python:3.11.")


def test_the_nodes_ports_volume_and_health_are_those_of_its_settings() -> None:
    node, settings = final_stage(OURS[0]), NodeSettings()

    assert node.all("EXPOSE") == [f"{settings.port} {settings.web.port}"]
    assert node.all("VOLUME") == [node.environment["PATCHCLIP_DATA_DIR"]]
    assert node.environment["NODE_HEALTH"] == f"http://127.0.0.1:{settings.web.port}/healthz"


def test_ohif_is_the_build_that_the_viewers_tests_look_at() -> None:
    (tested,) = [package for package in PACKAGES if package.name == "@ohif/app"]

    arguments = dict(rest.split("=", 1) for rest in stages_of(FOLDER / "ohif.Dockerfile")["viewer"].all("ARG"))

    assert arguments == {"OHIF": tested.version, "SHA512": base64.b64decode(tested.sha512).hex()}
