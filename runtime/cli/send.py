"""`scanside send`: DICOM through a daemon, decoded and rebuilt on this side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.finite import POSITIVE, Finite

if TYPE_CHECKING:
    from scanside.runtime.client import Client
    from scanside.runtime.frame import FrameFacts, Pixels
    from scanside.runtime.results import Result

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=PATH, metavar="SRC")
@click.option(
    "--to", "url", required=True, metavar="URL", help="Where the daemon listens, as it printed it."
)
@click.option(
    "--out", "destination", type=PATH, metavar="DST", help="Write derived DICOM: a file or folder."
)
@click.option("--overwrite", is_flag=True, help="Replace results that are there already.")
@click.option(
    "--deadline-ms",
    type=Finite(min=0, min_open=True, max=60_000),
    help="Ask for the original back when a frame takes longer in the daemon.",
)
@click.option(
    "--timeout",
    type=POSITIVE,
    default=10.0,
    show_default=True,
    help="Seconds without an answer after which the daemon counts as gone.",
)
@click.option(
    "--keys",
    type=PATH,
    metavar="FOLDER",
    help="Folder with client.key and server.pub, for a daemon that asks for keys [SCANSIDE_KEYS].",
)
def send(
    source: Path,
    url: str,
    destination: Path | None,
    overwrite: bool,
    deadline_ms: float | None,
    timeout: float,
    keys: Path | None,
) -> None:
    """Send the DICOM images in SRC, a file or a folder, through the daemon at URL.

    With --out each enhanced image becomes a derived DICOM file. An image with any frame that was
    not enhanced is not written, and the exit code says so. Without --out nothing is written: the
    outcomes are counted and timed.

    \b
    Example:
      scanside send scans/ --to tcp://127.0.0.1:5555
      scanside send scans/ --to tcp://127.0.0.1:5555 --out enhanced/
      scanside send scans/ --to tcp://scanner-2:5555 --keys ~/scanside-keys
    """
    from scanside.runtime.client import Client
    from scanside.runtime.dicom.convert import convert
    from scanside.runtime.dicom.derive import ModelNote
    from scanside.runtime.errors import EngineUnavailableError

    with Client(url, timeout=timeout, keys=keys) as client:
        card = client.model
        if card is None:
            raise EngineUnavailableError(
                "the daemon has no model ready", next_step="wait for its line `ready`"
            )
        passage = _Passage(client, card.identity, deadline_ms)
        try:
            if destination is None:
                _send_all(source, passage)
            else:
                note = ModelNote(
                    name=card.name,
                    version=card.version,
                    identity=card.identity,
                    engine=card.engine,
                    scale=card.scale,
                    signed=card.signed,
                )
                convert(source, destination, passage.run, note, overwrite=overwrite)
        finally:
            passage.report()


class _Passage:
    """Frames through the daemon, their outcomes counted and timed."""

    def __init__(self, client: Client, model: str, deadline_ms: float | None) -> None:
        self._client = client
        self._model = model
        self._deadline_ms = deadline_ms
        self._counts: dict[str, int] = {}
        self._times_ms: list[float] = []

    def results(self, pixels: Pixels, facts: Sequence[FrameFacts]) -> Iterator[Result]:
        """pixels: (N, R, C); one result per frame, in order."""
        frames = zip(pixels, facts, strict=True)
        for result in self._client.stream(frames, deadline_ms=self._deadline_ms):
            key = result.outcome.value + (f": {result.reason.value}" if result.reason else "")
            self._counts[key] = self._counts.get(key, 0) + 1
            if result.round_trip_ms:
                self._times_ms.append(result.round_trip_ms)
            yield result

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts]) -> Pixels:
        """All frames enhanced, (N, R * scale, C * scale), or the error that tells why not."""
        import numpy as np

        return np.stack([_enhanced(r, self._model) for r in list(self.results(pixels, facts))])

    def report(self) -> None:
        if not self._counts:
            return
        import numpy as np

        counts = ", ".join(f"{number} {key}" for key, number in sorted(self._counts.items()))
        click.echo(f"{sum(self._counts.values())} frames: {counts}")
        if self._times_ms:
            p50, p99 = np.percentile(self._times_ms, [50, 99])
            click.echo(f"round trip p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def _enhanced(result: Result, model: str) -> Pixels:
    """The pixels, if they are what `model` made of the frame; else the error that tells why not."""
    from scanside.runtime.errors import EngineError, RefusedFrameError, ServerUnreachableError
    from scanside.runtime.wire import Outcome

    reason = result.reason.value if result.reason else ""
    if result.outcome is Outcome.UNANSWERED:
        raise ServerUnreachableError(
            f"a frame was not answered: {result.text}",
            next_step="look at the daemon's log, start it again and send the rest",
        )
    if result.outcome is Outcome.REFUSED or result.pixels is None:
        raise RefusedFrameError(reason, f"the daemon refused a frame: {reason}: {result.text}")
    if result.outcome is Outcome.BYPASSED:
        raise EngineError(
            f"the daemon gave a frame back as it was: {reason}",
            next_step="look at the daemon's log, and send the image again",
        )
    if result.model != model:
        raise EngineError("the daemon changed its model meanwhile", next_step="send it all again")
    return result.pixels


def _send_all(source: Path, passage: _Passage) -> None:
    """Send without writing anything; what cannot be read or was not enhanced is reported."""
    from scanside.runtime.dicom.read import DIRECTORY, NOT_DICOM, read_image
    from scanside.runtime.errors import (
        ImageError,
        NoImagesError,
        PartialError,
        ScansideError,
        TransportError,
    )
    from scanside.runtime.progress import task

    is_folder = source.is_dir()
    files = sorted(p for p in source.rglob("*") if p.is_file()) if is_folder else [source]
    sent = 0
    failures: list[ScansideError] = []
    with task("sending", len(files)) as progress:
        for file in files:
            try:
                image = read_image(file)
                passage.run(image.words, image.facts)
                sent += 1
            except TransportError:
                raise
            except ScansideError as error:
                passed = isinstance(error, ImageError) and error.reason in (NOT_DICOM, DIRECTORY)
                if not (is_folder and passed):
                    failures.append(error)
                    click.echo(f"{file.name!a}: {error}", err=True)
            progress.advance()
    if failures and not sent:
        raise failures[0]
    if not sent:
        raise NoImagesError(
            "the folder holds no DICOM images", next_step="name a folder that holds DICOM files"
        )
    if failures:
        raise PartialError(
            f"{len(failures)} of {sent + len(failures)} images were not enhanced",
            next_step="see the line of each above",
        )
