"""What the product depends on may be used under Apache-2.0's company: nothing under the GPL."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution


def _runtime_closure(root: str) -> set[str]:
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # an optional or platform-specific dependency that is not installed here
        seen.add(name)
        for requirement in requirements:
            if "extra ==" not in requirement:
                match = re.match(r"[A-Za-z0-9._-]+", requirement)
                assert match, requirement
                waiting.append(match.group())
    return seen


def test_no_runtime_dependency_is_under_the_gpl() -> None:
    closure = _runtime_closure("patchclip")
    offenders = {}
    for name in closure:
        metadata = distribution(name).metadata
        classifiers = [item for item in metadata.get_all("Classifier") or [] if item.startswith("License")]
        declared = [*(metadata.get_all("License-Expression") or []), *(metadata.get_all("License") or []), ""]
        licence = declared[0]
        text = " | ".join([licence.splitlines()[0] if licence else "", *classifiers])
        if re.search(r"\bA?L?GPL|General Public License", text):
            offenders[name] = text

    assert len(closure) > 30
    assert offenders == {}
