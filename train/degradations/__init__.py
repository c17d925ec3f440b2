"""Degradations as physics: how a clean image becomes what a cheaper acquisition would give."""
