"""Images to train on: DICOM, NIfTI, PNG and JPEG -> slices, split by patient."""
