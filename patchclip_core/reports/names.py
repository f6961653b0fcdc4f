"""The names that data sets give to findings, anatomy and devices; any other name in a list is reported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from patchclip_core.errors import FindingNamesFileError
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir

NO_FINDING: Final = frozenset({"no finding", "no abnormality boxed", "normal"})

_NAMES: Final = """
airspace opacity|airways|aortic enlargement|ards|atelectasis|calcification|cardiomediastinum|cardiomegaly|cardiac shadow
central venous line|chronic obstructive pulmonary disease|clavicle fracture|consolidation|copd|covid-19|diffuse nodule
edema|effusion|emphysema|endotracheal tube|enlarged cardiomediastinum|enlarged pa|fibrosis|fracture|ground glass opacity
hernia|ild|infiltrate|infiltration|left lung|lung cavity|lung cyst|lung lesion|lung opacity|lung tumor|mass
mediastinal shift|monitoring probes|nasogastric tube|nodule
nodule or mass|nodule/mass|opacity|other diseases|other lesion
pleural effusion|pleural other|pleural thickening|pneumonia|pneumothorax|pulmonary edema|pulmonary fibrosis
rib fracture|right lung|support devices|tuberculosis|tubings
"""

KNOWN: Final = NO_FINDING | {name.strip() for name in _NAMES.replace("\n", "|").split("|") if name.strip()}


def plain(name: str) -> str:
    """Return a name as it is compared: lower case, with blanks for underscores, without blanks around it."""
    return " ".join(name.replace("_", " ").casefold().split())


def is_known(name: str) -> bool:
    """Tell whether a name is one that the product's data sets use."""
    return plain(name) in KNOWN


class _FindingNames(BaseModel):
    """The one part of `conf/label_domains.yaml` that is about names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    findings: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]


def names_of(findings: Mapping[str, tuple[str, ...]], finding: str) -> frozenset[str]:
    """Return the plain names that sources have for a finding; the key itself is one of them."""
    return frozenset(plain(name) for name in (finding, *findings.get(finding, ())))


def load_finding_names(path: Path | None = None) -> dict[str, frozenset[str]]:
    """Return the plain names of each finding (default: those in `conf/label_domains.yaml`).

    Raises `FindingNamesFileError`, which names what is wrong with the file.
    """
    path = path or conf_dir() / "label_domains.yaml"
    findings = read_model(_FindingNames, path, FindingNamesFileError, "the names of findings").findings
    return {finding: names_of(findings, finding) for finding in findings}
