"""The offline package: all that a blank Jetson needs, in one folder or the .tar of it."""

from __future__ import annotations

from scanside.jetson.package.reading import Package, open_package

__all__ = ["Package", "open_package"]
