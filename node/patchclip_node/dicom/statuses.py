"""The statuses of responses (PS3.7 annex C; the storage service's own: PS3.4 table B.2-1)."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0x0000
"""PS3.7 C.1.1."""

WARNING: Final = 0x0001
"""PS3.7 annex C, status class Warning, beside Bxxx."""
ATTRIBUTE_LIST_ERROR: Final = 0x0107
"""PS3.7 C.4.2; a warning for all its name."""
ATTRIBUTE_VALUE_OUT_OF_RANGE: Final = 0x0116
"""PS3.7 C.4.3; a warning."""

NO_SUCH_ATTRIBUTE: Final = 0x0105
"""PS3.7 C.5.17."""
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
"""PS3.7 C.5.11."""
PROCESSING_FAILURE: Final = 0x0110
"""PS3.7 C.5.18."""
DUPLICATE_SOP_INSTANCE: Final = 0x0111
"""PS3.7 C.5.8."""
INVALID_ARGUMENT_VALUE: Final = 0x0115
"""PS3.7 C.5.10."""
INVALID_SOP_INSTANCE: Final = 0x0117
"""PS3.7 C.5.12: the SOP Instance UID breaks the rules of UIDs."""
CLASS_INSTANCE_CONFLICT: Final = 0x0119
"""PS3.7 C.5.7."""
MISSING_ATTRIBUTE: Final = 0x0120
"""PS3.7 C.5.13."""
MISSING_ATTRIBUTE_VALUE: Final = 0x0121
"""PS3.7 C.5.14."""
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""PS3.7 C.5.6."""
NO_SUCH_ACTION: Final = 0x0123
"""PS3.7 C.5.24."""
NOT_AUTHORIZED: Final = 0x0124
"""PS3.7 C.5.25."""
DUPLICATE_INVOCATION: Final = 0x0210
"""PS3.7 C.5.9."""
UNRECOGNIZED_OPERATION: Final = 0x0211
"""PS3.7 C.5.23."""
MISTYPED_ARGUMENT: Final = 0x0212
"""PS3.7 C.5.15."""

RESOURCE_LIMITATION: Final = 0x0213
"""PS3.7 C.5.26."""

PENDING: Final = frozenset({0xFF00, 0xFF01})
"""PS3.4 table C.4-1: matches are continuing."""

SUB_OPERATIONS_FAILED: Final = 0xB000
"""PS3.4 tables C.4-2 and C.4-3: the retrieval is complete, and one or more of its objects were not sent; a warning."""
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
"""PS3.4 table C.4-2."""

OUT_OF_RESOURCES: Final = 0xA700
"""PS3.4 table B.2-1, A7xx: sending again later may succeed."""
PATIENT_ID_MISSING: Final = 0xA777
"""dcm4chee's own: the object has no Patient ID that the archive could file it by."""
CONFLICTING_PATIENT_ID: Final = 0xA778
"""dcm4chee's own: the Patient ID belongs to another patient of the archive."""
CONFLICTING_PATIENT_ATTRIBUTES: Final = 0xA779
"""dcm4chee's own: the patient's attributes are not those that the archive has."""
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
"""PS3.4 table B.2-1, A9xx."""
CANNOT_UNDERSTAND: Final = 0xC000
"""PS3.4 table B.2-1, Cxxx."""


def is_warning(status: int) -> bool:
    """Tell whether the operation completed although something was amiss (PS3.7 annex C, status class Warning)."""
    return status in {WARNING, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE} or status >> 12 == 0xB


def is_out_of_resources(status: int) -> bool:
    """A7xx (PS3.4 table B.2-1)."""
    return status >> 8 == OUT_OF_RESOURCES >> 8


def is_data_set_mismatch(status: int) -> bool:
    """A9xx (PS3.4 table B.2-1)."""
    return status >> 8 == DATA_SET_DOES_NOT_MATCH_SOP_CLASS >> 8


def is_not_understood(status: int) -> bool:
    """Cxxx (PS3.4 table B.2-1)."""
    return status >> 12 == CANNOT_UNDERSTAND >> 12
