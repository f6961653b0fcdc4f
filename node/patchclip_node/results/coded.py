"""What a finding is, in codes."""

from __future__ import annotations

from highdicom.sr import CodedConcept

from patchclip_core.values.definitions import FindingDefinition


def finding_code(definition: FindingDefinition) -> CodedConcept:
    """Return the finding's code as a coded concept."""
    return CodedConcept(definition.code.value, definition.code.scheme, definition.code.meaning)


def site_code(definition: FindingDefinition) -> CodedConcept:
    """Return the anatomic site's code as a coded concept."""
    return CodedConcept(definition.site.value, definition.site.scheme, definition.site.meaning)
