"""How fast a process's memory grows, and how well that is known from so many samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reliability.daemon_process import Sample
from scipy.stats import theilslopes

CONFIDENCE = 0.95


class Slope(NamedTuple):
    """MB (10^6 bytes) an hour by Theil and Sen, and the interval that holds it at 95% if samples
    err independently. They do not quite: memory moves in steps, and the true interval is wider."""

    mb_per_hour: float
    low: float
    high: float


def slope(samples: Sequence[Sample], warm_up_s: float) -> Slope:
    """Of the samples that come `warm_up_s` seconds after the first. ValueError for under 3."""
    began = samples[0].at_s
    settled = [one for one in samples if one.at_s - began >= warm_up_s]
    if len(settled) < 3:
        raise ValueError(f"{len(settled)} samples after the warm-up tell no slope")
    hours = [(one.at_s - began) / 3600 for one in settled]
    megabytes = [one.rss_kib * 1024 / 1e6 for one in settled]
    middle, _, low, high = theilslopes(megabytes, hours, CONFIDENCE)
    return Slope(float(middle), float(low), float(high))


def plot(samples: Sequence[Sample], warm_up_s: float, file: Path) -> None:
    """Memory, descriptors and threads over time, to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [(one.at_s - samples[0].at_s) / 60 for one in samples]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6))
    above.plot(minutes, [one.rss_kib * 1024 / 1e6 for one in samples])
    above.axvline(warm_up_s / 60, linestyle=":", color="grey")
    above.set_ylabel("resident memory, MB")
    below.plot(minutes, [one.descriptors for one in samples], label="descriptors")
    below.plot(minutes, [one.threads for one in samples], label="threads")
    below.set_xlabel("minutes")
    below.set_ylim(bottom=0)
    below.legend()
    figure.suptitle("The daemon under the soak's load; the warm-up ends at the dotted line")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
