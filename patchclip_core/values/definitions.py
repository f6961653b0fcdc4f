"""A finding is data: its key, names, codes, sentences and colour, read from `conf/findings.yaml`.

A new finding needs text, not code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from patchclip_core.errors import FindingsFileError
from patchclip_core.typed_yaml import read_model

NonEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class Code(BaseModel):
    """A coded concept (PS3.3 section 8): Code Value, Coding Scheme Designator, Code Meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[str, StringConstraints(pattern=r"^\S{1,16}$")]
    scheme: Annotated[str, StringConstraints(pattern=r"^\S{1,16}$")]
    meaning: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class FindingDefinition(BaseModel):
    """What the product knows of one finding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    name: Annotated[str, StringConstraints(min_length=1, max_length=48)]
    """Name as a person reads it, lower case: 'pleural effusion'."""
    names: dict[Language, Annotated[str, StringConstraints(min_length=1, max_length=48)]] = {}
    """The name in other languages, by RFC 5646 tag. Codes and their meanings stay as they are."""
    code: Code
    site: Code
    """Where it is by nature; the anatomic region of its SR group and segment."""
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
    """Display colour, sRGB."""
    extent: Literal["localised", "image"] = "localised"
    """'image': a finding that has no particular place; it gets no regions."""
    reported: bool = True
    """False: trained and measured like the others, but a helper of theirs: nothing is said of it to a reader."""
    lookalikes: tuple[str, ...] = ()
    """Keys of findings that a reader may see as this one. Where a model does not evaluate one of them, it does not say
    that this finding is absent."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Operating point where a checkpoint's card has none."""
    positive: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    """Sentences that say the finding is there."""
    negative: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    """Sentences that say it is not."""

    def in_language(self, language: str) -> FindingDefinition:
        """Return the definition whose name is that of another language, where it has one."""
        return self.model_copy(update={"name": self.names[language]}) if language in self.names else self

    @property
    def colour_rgb(self) -> tuple[int, int, int]:
        """The colour as red, green, blue, 0 to 255."""
        return int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16)


class FindingsFile(BaseModel):
    """The content of a findings file, in the order of display."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: Annotated[tuple[FindingDefinition, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _keys_are_unique(self) -> FindingsFile:
        keys = [finding.key for finding in self.findings]
        doubled = sorted({key for key in keys if keys.count(key) > 1})
        if doubled:
            raise ValueError(f"defined twice: {', '.join(doubled)}")
        for finding in self.findings:
            if unknown := sorted({*finding.lookalikes} - {*keys}):
                raise ValueError(f"lookalikes of {finding.key} that are not defined: {', '.join(unknown)}")
        return self


def conf_dir() -> Path:
    """Return the folder of the files in `conf/`: inside the package when installed, at the top of a checkout else."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def load_findings(path: Path | None = None) -> dict[str, FindingDefinition]:
    """Read a findings file (default: the one shipped in `conf/`); key -> definition, in the file's order.

    Raises `FindingsFileError`, which names the entry and the key that are wrong.
    """
    path = path or conf_dir() / "findings.yaml"
    content = read_model(FindingsFile, path, FindingsFileError, "the findings file")
    return {finding.key: finding for finding in content.findings}
