"""The DICOM sender: C-STORE and C-ECHO as SCU."""
