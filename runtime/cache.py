"""Where this user's caches are."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """SCANSIDE_CACHE, or `scanside` in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    override = os.environ.get("SCANSIDE_CACHE")
    if override:
        return Path(override)
    xdg = os.environ.get("XDG_CACHE_HOME")
    return Path(xdg or os.path.expanduser("~/.cache")) / "scanside"
