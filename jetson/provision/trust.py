"""Whose signatures count on a device: public keys that the offline package brings along.

The package itself was opened before: by a key that the device trusted already, or by one that a
person named. Keys are added and never replaced or removed: that is a decision, not a step.
"""

from __future__ import annotations

from pathlib import Path

from scanside.jetson.layout import TRUST
from scanside.jetson.machine import Machine
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError, KeyFileError
from scanside.runtime.signing import MOST_KEYS, PUBLIC, Trust, key_id, load_public_key


def trust_steps(machine: Machine, keys: list[Path]) -> list[Step]:
    """keys: files NAME.pub. Raises DeviceError where they would be too many, or another key has
    that name; KeyFileError for what is no key."""
    folder = machine.path(TRUST)
    held = Trust.load(folder) if folder.is_dir() else Trust()
    steps = []
    names = {name for name in machine.list(TRUST) if name.endswith(PUBLIC)}
    for file in keys:
        identity = key_id(load_public_key(file))
        if identity in held.revoked:
            raise DeviceError(
                f"the package brings the key {identity[:16]}, which is revoked on this device",
                next_step="ask whoever made the package",
            )
        if identity in held.keys:
            continue
        if file.name in names:
            raise DeviceError(
                f"{TRUST}/{file.name} is another key than the package's of that name",
                next_step="compare them (scanside keys show), and remove the one that is wrong",
            )
        names.add(file.name)
        title = f"key {identity[:16]} ({file.name}) is trusted"
        steps.append(
            file_step(machine, Place(f"{TRUST}/{file.name}", 0o644), file.read_text(), title)
        )
    if len(names) > MOST_KEYS:
        raise DeviceError(
            f"with the package's keys {len(names)} would be trusted, at most {MOST_KEYS} may be",
            next_step=f"remove the one from {TRUST} that was rotated out",
        )
    return steps


def keys_named(
    keys: list[Path], wanted: tuple[str, ...], revoked: frozenset[str] = frozenset()
) -> Trust:
    """Those of the keys whose ids begin with what a person read elsewhere, 16 digits or more.

    Raises KeyFileError where one that is named is not among them.
    """
    ids = {key_id(key): key for key in map(load_public_key, keys)}
    found = {}
    for prefix in wanted:
        fitting = [name for name in ids if name.startswith(prefix.lower())]
        if len(prefix) < 16 or len(fitting) != 1:
            raise KeyFileError(
                f"the package brings no key {prefix[:16]}"
                if len(prefix) >= 16
                else "a key is named by at least 16 digits of its id",
                next_step="`scanside keys show` prints ids: compare with whoever made the package",
            )
        found[fitting[0]] = ids[fitting[0]]
    return Trust(found, revoked)
