"""The DICOM receiver: C-ECHO and C-STORE as SCP."""
