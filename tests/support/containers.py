"""The files in docker/, as tests read them: Dockerfiles by stage, compose files with their variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
COMPOSE = FOLDER / "compose.yaml"
COMPOSE_CUDA = FOLDER / "compose.cuda.yaml"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined."""

    word: str
    rest: str

    @property
    def arguments(self) -> list[str]:
        """Its exec form."""
        return [str(argument) for argument in json.loads(self.rest)]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a Dockerfile."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[str]:
        """Return what follows each instruction of this kind."""
        return [one.rest for one in self.instructions if one.word == word]

    def exec_form(self, word: str) -> list[str]:
        """Return the arguments of the last instruction of this kind, an empty list where there is none."""
        found = [one for one in self.instructions if one.word == word]
        return found[-1].arguments if found else []

    @property
    def environment(self) -> dict[str, str]:
        """Its ENV instructions."""
        return {name: value for rest in self.all("ENV") for name, value in re.findall(r"(\w+)=(\S+)", rest)}

    @property
    def health_check(self) -> list[str]:
        """The command of its HEALTHCHECK."""
        (rest,) = self.all("HEALTHCHECK")
        return [str(word) for word in json.loads(rest.partition("CMD ")[2])]


def stages_of(dockerfile: Path) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name, in their order."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    stages: dict[str, tuple[str, list[Instruction]]] = {}
    current: list[Instruction] = []  # what stands before the first FROM belongs to no stage
    for word, rest in re.findall(r"^([A-Z]+)\s+(.*\S)", joined, flags=re.MULTILINE):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = []
            stages[name] = (base, current)
        else:
            current.append(Instruction(word, re.sub(r"\s+", " ", rest)))
    return {name: Stage(name, base, tuple(instructions)) for name, (base, instructions) in stages.items()}


def final_stage(dockerfile: Path) -> Stage:
    """Return the stage that becomes the image."""
    return list(stages_of(dockerfile).values())[-1]


class MissingVariableError(Exception):
    """A compose file requires a variable that is not set."""


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Return the text of a compose file with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced."""

    def value(match: re.Match[str]) -> str:
        name, operator, operand = match.groups()
        if variables.get(name):
            return variables[name]
        if operator != ":-":
            raise MissingVariableError(f"{name}: {operand or 'not set'}")
        return str(operand)

    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, text)


def compose(variables: Mapping[str, str], path: Path = COMPOSE) -> dict[str, Any]:
    """Return a compose file with its variables filled in and its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load(filled_in(path.read_text(encoding="utf-8"), variables))
    return content


def dockerfile_of(service: Mapping[str, Any]) -> Path | None:
    """Return the Dockerfile that a service's image is built from, None where the image is fetched."""
    return ROOT / service["build"]["dockerfile"] if "build" in service else None
