"""A DICOM node that receives chest radiographs, has them analysed by Patch-CLIP and returns the results."""
