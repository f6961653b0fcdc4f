"""DICOM as the node reads it: headers, which images it analyses, what it stores. No pixels, no network."""
