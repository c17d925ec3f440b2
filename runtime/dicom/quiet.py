"""Keeping pydicom quiet: what it warns of, logs and raises may quote tag values, patients' data."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from scanside.runtime.errors import ScansideError, UnreadableImageError

_LOUD = ("pydicom", "pylibjpeg", "openjpeg", "rle")
_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what pydicom and its decoders warn of and log while the block runs.

    What matters of it is decided by our own checks instead (`scanside.runtime.dicom.read`). What
    they raise, which on rubbish may be anything, becomes UnreadableImageError (reason "damaged");
    OSError is let through. Warning filters belong to the process, not to a thread, so such blocks
    run one at a time; a handler that somebody put on pydicom's own loggers still hears them.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in _LOUD]
        before = [logger.propagate for logger in loggers]
        deaf = logging.NullHandler()  # without any handler Python prints to stderr itself
        for logger in loggers:
            logger.addHandler(deaf)
            logger.propagate = False
        try:
            yield
        except (ScansideError, OSError):
            raise
        except Exception:  # noqa: BLE001
            raise UnreadableImageError(
                "damaged: the elements of the file cannot be read",
                next_step="export the image again",
                reason="damaged",
            ) from None
        finally:
            for logger, propagate in zip(loggers, before, strict=True):
                logger.removeHandler(deaf)
                logger.propagate = propagate
