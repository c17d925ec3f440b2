"""How the C library's allocator treats the memory of frames.

By default glibc gives large blocks back to the system as soon as they are free, and gets them anew,
page by page and cleared, for the next frame: of a 512 x 512 frame that took longer than its whole
intensity map.
"""

from __future__ import annotations

import ctypes
import sys

KEPT_BYTES = 256 << 20
"""Free memory above this at the end of a heap goes back to the system."""
HEAPS = 2
"""Else each thread may get one of its own, and what each keeps adds up: of a daemon under load that
swapped models, memory went up by 28 MB whenever two threads happened to be busy at once."""

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_THRESHOLD_MAX = 32 << 20  # the largest it takes where a long has 64 bits


def keep_freed_memory() -> bool:
    """Have this process use the memory of one frame for the next, in all its threads; whether the
    C library could be told so. For a process whose work is frames: what it once needed, it keeps.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    settings = (
        (_M_ARENA_MAX, HEAPS),
        (_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_MAX),
        (_M_TRIM_THRESHOLD, KEPT_BYTES),
    )
    return all(mallopt(*setting) for setting in settings)


def give_freed_memory_back() -> bool:
    """Return to the system what is free now, in all heaps; whether anything was. For when a model
    has gone: what two models at once needed would else be kept for one."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return bool(trim is not None and trim(ctypes.c_size_t(0)))
