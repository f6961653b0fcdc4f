"""The coded concepts that results use beside those of the findings file (PS3.16; SNOMED CT, DCM, UCUM, UMLS)."""

from __future__ import annotations

from typing import Final

from pydicom.sr.coding import Code

# Report
IMAGING_MEASUREMENT_REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURE_REPORTED: Final = Code("121058", "DCM", "Procedure reported")
IMAGING_PROCEDURE: Final = Code("363679005", "SCT", "Imaging procedure")
IMAGING_MEASUREMENTS: Final = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT: Final = Code("121106", "DCM", "Comment")
SOURCE: Final = Code("260753009", "SCT", "Source")
PROBABILITY_VALUE: Final = "122157"
"""(122157, DCM, Probability). The Code Meaning names the finding, since viewers show nothing else of a measurement."""

# Text report, TID 2000, and key objects, TID 2010
DIAGNOSTIC_IMAGING_REPORT: Final = Code("18748-4", "LN", "Diagnostic Imaging Report")
SUMMARY_SECTION: Final = Code("121111", "DCM", "Summary")
SUMMARY: Final = Code("121111", "DCM", "Summary")
FINDINGS_SECTION: Final = Code("121070", "DCM", "Findings")
FINDINGS: Final = Code("121070", "DCM", "Findings")
FINDING: Final = Code("121071", "DCM", "Finding")
KEY_OBJECT_DESCRIPTION: Final = Code("113012", "DCM", "Key Object Description")
TRACKING_IDENTIFIER: Final = Code("112039", "DCM", "Tracking Identifier")
DEVICE: Final = Code("121007", "DCM", "Device")
OF_INTEREST: Final = Code("113000", "DCM", "Of Interest")
REJECTED_FOR_QUALITY: Final = Code("113001", "DCM", "Rejected for Quality Reasons")
REJECTED_FOR_SAFETY: Final = Code("113037", "DCM", "Rejected for Patient Safety Reasons")
INCORRECT_WORKLIST_ENTRY: Final = Code("113038", "DCM", "Incorrect Modality Worklist Entry")
RETENTION_EXPIRED: Final = Code("113039", "DCM", "Data Retention Policy Expired")
QUALITY_ISSUE: Final = Code("113010", "DCM", "Quality Issue")
FOR_REPORT_ATTACHMENT: Final = Code("113020", "DCM", "For Report Attachment")
SOURCE_OF_PROCESSING: Final = Code("121322", "DCM", "Source of Image Processing Operation")

THRESHOLD: Final = ("operating-point", "99PATCHCLIP")
"""Value and scheme of the probability from which on a finding is said to be possible or present; DICOM has no such
concept: its CAD Operating Point (111071, DCM) counts points of a curve."""

PRESENT: Final = Code("52101004", "SCT", "Present")
POSSIBLE: Final = Code("371930009", "SCT", "Possible")
"""At or above the operating point and below the firm one; CID 240 has no such value, and may be extended."""
ABSENT: Final = Code("272519000", "SCT", "Absent")
UNDETERMINED: Final = Code("373068000", "SCT", "Undetermined")
"""Not seen by a model that misses too many to say that it is absent; CID 240 'Present-Absent' has the three."""
NOT_ATTEMPTED: Final = Code("111225", "DCM", "Not Attempted")
"""CID 6042 'Status of Results'."""

CALCULATED: Final = Code("112187", "DCM", "Unspecified method of calculation")
"""How a Parametric Map came about: CID 7203 'Image Derivation' has nothing for a model."""
NO_UNITS: Final = Code("1", "UCUM", "no units")
PERCENT: Final = Code("%", "UCUM", "Percent")
PIXELS: Final = Code("{pixels}", "UCUM", "Pixels")
MILLIMETER: Final = Code("mm", "UCUM", "mm")

# Image library, TID 1600 to 1603
IMAGE_LIBRARY: Final = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP: Final = Code("126200", "DCM", "Image Library Group")
MODALITY: Final = Code("121139", "DCM", "Modality")
PIXEL_DATA_ROWS: Final = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS: Final = Code("110911", "DCM", "Pixel Data Columns")
PATIENT_ORIENTATION_ROW: Final = Code("111044", "DCM", "Patient Orientation Row")
PATIENT_ORIENTATION_COLUMN: Final = Code("111043", "DCM", "Patient Orientation Column")
HORIZONTAL_PIXEL_SPACING: Final = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING: Final = Code("111066", "DCM", "Vertical Pixel Spacing")
MODALITIES: Final = {
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
    "RG": Code("RG", "DCM", "Radiographic imaging"),
}
OTHER_MODALITY: Final = Code("OT", "DCM", "Other Modality")

# Place
LEFT: Final = Code("7771000", "SCT", "Left")
RIGHT: Final = Code("24028007", "SCT", "Right")
PAIRED_SITES: Final = frozenset({"39607008", "3120008", "113197003"})
"""Lung, pleura, rib: sites of which a patient has a left and a right one."""
MORPHOLOGICALLY_ABNORMAL_STRUCTURE: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")

# Equipment
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
ACQUISITION_EQUIPMENT: Final = Code("109101", "DCM", "Acquisition Equipment")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")
