"""After a USB error the device must come anew: a second try over the same connection is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scanside.jetson.flash.recovery import Recovery
from scanside.jetson.flash.verdicts import Found, refused
from scanside.runtime.errors import FlashError
from scanside.runtime.files import make_folder, replace_file


class UsbError(msgspec.Struct, frozen=True):
    """session: of the connection that is spent, as sysfs numbers it."""

    instance: str
    session: str
    said: str


def remember(state: Path, device: Recovery, said: str) -> None:
    """device: as it is now, after the error, or as it was before where it is gone."""
    make_folder(state)
    with replace_file(_file(state, device.instance)) as stream:
        stream.write(msgspec.json.encode(UsbError(device.instance, device.session, said)))


def look_at_last_error(state: Path, device: Recovery) -> Found | None:
    """Raises FlashError where the note of an error cannot be read: then nothing is known."""
    file = _file(state, device.instance)
    try:
        last = msgspec.json.decode(file.read_bytes(), type=UsbError)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise FlashError(
            f"{file} cannot be read", next_step="put the device into recovery mode anew, remove it"
        ) from error
    if last.session != device.session:
        return None
    return refused(
        "last try",
        f"over this connection something failed: {last.said}",
        "power the device off, pull the cable, put it into recovery mode anew; then run it again",
    )


def _file(state: Path, instance: str) -> Path:
    return state / f"usb-error-{instance}.json"
