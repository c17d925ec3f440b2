"""Flash one device, once: the user's word, the first user, NVIDIA's script, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import IO

import msgspec

from scanside.jetson.flash.child import run_child
from scanside.jetson.flash.ends import USB, end_of
from scanside.jetson.flash.first_boot import first_user, keep_secret, make_secret
from scanside.jetson.flash.plan import Order, Plan, alone, device_now, plan
from scanside.jetson.flash.usb_errors import remember
from scanside.runtime.files import make_folder


class Flashed(msgspec.Struct, frozen=True, kw_only=True):
    """end: success, or why it was not. secret: file that holds the first user's, or empty where it
    was shown. log: of all that NVIDIA's scripts said."""

    plan: Plan
    end: str
    said: str
    next_step: str = ""
    seconds: float = 0.0
    secret: str = ""
    log: str = ""


def word_to_type(planned: Plan, order: Order) -> str:
    """What confirms: the device's serial number where USB tells one, else its module and port."""
    device = planned.device
    assert device is not None
    return device.serial or f"{order.profile.module} {device.instance}"


def flash(
    order: Order,
    *,
    asked: Callable[[Plan], bool],
    told: Callable[[str], object],
    show_secret: Callable[[str], object] | None = None,
) -> Flashed:
    """asked: shows the plan and tells whether the user typed the word. told: each line of progress.
    show_secret: called once with the first user's, instead of a file.

    Nothing is ever tried again. Raises FlashError where another flash goes on from the same BSP
    tree, or the first user cannot be made.
    """
    make_folder(order.state)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    log = order.state / f"{stamp}.log"
    with alone(order.tree), log.open("xb") as stream:
        planned = plan(order, stream)
        if planned.refused:
            said = "nothing was flashed"
            return Flashed(plan=planned, end="refused", said=said, log=str(log))
        if not asked(planned):
            said = "what was typed is not what was asked for: nothing was flashed"
            return Flashed(plan=planned, end="not confirmed", said=said, log=str(log))
        assert planned.device is not None
        if device_now(order, planned.device) != planned.device:
            said = "the device was unplugged or started meanwhile: nothing was flashed"
            return Flashed(plan=planned, end="gone", said=said, log=str(log))
        return _flash(order, planned, stamp, stream, told, show_secret)


def _flash(
    order: Order,
    planned: Plan,
    stamp: str,
    stream: IO[bytes],
    told: Callable[[str], object],
    show_secret: Callable[[str], object] | None,
) -> Flashed:
    assert planned.device is not None
    secret = make_secret()
    file = order.state / f"{stamp}-{order.profile.hostname}.secret"
    if show_secret is None:
        keep_secret(file, order.profile, secret)
    else:
        show_secret(secret)
    with first_user(order.tree, order.profile, secret, stream):
        try:
            ended = run_child(order.tree, planned.words, stream, hide=secret, told=told)
        except BaseException:  # Ctrl-C: nobody knows how far it came
            remember(order.state, device_now(order, planned.device), "the flash was broken off")
            raise
    end = end_of(ended)
    if end.name == USB:
        remember(order.state, device_now(order, planned.device), end.said)
    return Flashed(
        plan=planned,
        end=end.name,
        said=end.said,
        next_step=end.next_step,
        seconds=ended.seconds,
        secret="" if show_secret else str(file),
        log=str(order.state / f"{stamp}.log"),
    )
