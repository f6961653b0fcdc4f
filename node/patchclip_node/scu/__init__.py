"""The DICOM sender: C-STORE, C-FIND and C-ECHO as SCU."""

from patchclip_node.scu.sender import DicomResultSender

__all__ = ["DicomResultSender"]
