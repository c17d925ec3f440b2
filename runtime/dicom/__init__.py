"""DICOM in, derived DICOM out."""
