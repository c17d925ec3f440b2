"""Randomised phantoms: training images with nothing to download."""
