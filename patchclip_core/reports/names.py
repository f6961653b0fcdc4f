"""The names that data sets give to findings, anatomy and devices; any other name in a list is reported."""

from __future__ import annotations

from typing import Final

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
