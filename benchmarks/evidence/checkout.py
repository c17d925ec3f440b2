"""Which code a run was measured with."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path


def commit() -> str:
    """The checkout's commit, 12 digits, with "+changes" when files differ from it; the installed
    version where there is no checkout or no git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return f"scanside {version('scanside')}"
    return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str | None:
    """What git prints, of the checkout that this file lies in; None where there is none."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", here, *words], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
