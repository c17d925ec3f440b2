"""NIfTI in, derived NIfTI out. nibabel comes with the extra [nifti] and is imported when needed."""
