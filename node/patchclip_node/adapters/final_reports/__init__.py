"""Reports as files and messages have them: tables, HL7 version 2 and FHIR."""

from patchclip_node.adapters.final_reports.read import read_reports

__all__ = ["read_reports"]
