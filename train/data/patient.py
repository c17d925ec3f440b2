"""Which patient an image is of, as a key that tells nobody who it is."""

from __future__ import annotations

import hashlib


def patient_key(identity: str) -> str:
    """sha256 (hex) of an identity; case, outer blanks and leading zeros do not count.

    Too few patients is a loss of data, one patient on two sides of a split a lie: where identities
    might mean the same patient, they get the same key. An empty identity is a patient too.
    """
    plain = identity.strip().casefold().lstrip("0")
    return hashlib.sha256(plain.encode(errors="replace")).hexdigest()
