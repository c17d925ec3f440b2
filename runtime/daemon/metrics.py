"""Prometheus metrics of a daemon: Triton's families where they fit, and our own.

Nothing is done for them while frames pass: a scrape reads the daemon's tally. Every label value
comes from the bundle or from a closed list of this code, none from a client.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from scanside.runtime.daemon.drift import Kind
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.daemon.states import State
from scanside.runtime.daemon.tally import BUCKETS_S, ModelTally
from scanside.runtime.errors import AddressInUseError, TransportError
from scanside.runtime.wire import Counters, ModelCard, Outcome, Reason, Status

LOOPBACK = "127.0.0.1"
BYPASSES = (
    Reason.LATE,
    Reason.SUPERSEDED,
    Reason.ENGINE_ERROR,
    Reason.GUARD,
    Reason.NOT_READY,
    Reason.DRAINING,
)
REFUSALS = tuple(reason for reason in Reason if reason not in BYPASSES)
MODEL = ("model", "version")

# Triton's name (its docs, user_guide/metrics.md) -> what it is here, in ModelTally.
TRITON_TIMES = {
    "nv_inference_request_duration_us": ("from receipt to RESULT", "total"),
    "nv_inference_queue_duration_us": ("waiting for the engine", "queue"),
    "nv_inference_compute_input_duration_us": ("preparing", "preparation"),
    "nv_inference_compute_infer_duration_us": ("intensity map, network and guard", "inference"),
    "nv_inference_compute_output_duration_us": ("from the engine to the RESULT", "reply"),
}

Models = list[tuple[tuple[str, str], ModelTally]]


class DaemonCollector(Collector):
    """Reads a daemon when it is scraped, on the scraper's thread."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        status = self._daemon.status()
        models = list(self._daemon.tally.models.items())
        yield from _triton(models, status)
        yield _durations(models)
        yield from _frames(status.counters)
        yield from _present(status)
        if status.model is not None:
            yield _model(status.model)
        yield from _drift(status)


@contextmanager
def metrics_server(daemon: Daemon, port: int, host: str = LOOPBACK) -> Iterator[int]:
    """Serve http://host:port/metrics while open, on a thread of its own; yields the port.

    port: 0 chooses one. Raises AddressInUseError, or TransportError when there is no such address.
    """
    registry = CollectorRegistry()
    registry.register(DaemonCollector(daemon))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        kind = AddressInUseError if error.errno == errno.EADDRINUSE else TransportError
        raise kind(
            f"metrics cannot be served on {host}:{port}: {error.strerror or 'no such address'}",
            next_step="choose another --metrics-port, or leave it out",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _triton(models: Models, status: Status) -> Iterator[Metric]:
    success = _as_named("nv_inference_request_success", "Enhanced frames.")
    count = _as_named("nv_inference_count", "Enhanced frames.")
    failed = _as_named("nv_inference_request_failure", "Frames that were not enhanced.")
    times = {
        name: _as_named(name, f"Microseconds {what}, sum over enhanced frames.")
        for name, (what, _) in TRITON_TIMES.items()
    }
    for key, model in models:
        labels = dict(zip(MODEL, key, strict=True))
        success.add_sample(success.name, labels, model.enhanced)
        count.add_sample(count.name, labels, model.enhanced)
        for reason, frames in model.failed.items():
            failed.add_sample(failed.name, {**labels, "reason": reason}, frames)
        for name, metric in times.items():
            milliseconds: float = getattr(model, TRITON_TIMES[name][1])
            metric.add_sample(name, labels, milliseconds * 1000)
    pending = _as_named("nv_inference_pending_request_count", "Admitted frames without an answer.")
    if status.model is not None:
        labels = {"model": status.model.name, "version": status.model.version}
        pending.add_sample(pending.name, labels, status.counters.queue)
    yield from (success, failed, count, *times.values(), pending)


def _as_named(name: str, text: str) -> Metric:
    """Under Triton's own name: the library would end that of a counter in `_total`."""
    return Metric(name, text, "unknown")


def _durations(models: Models) -> Metric:
    found = HistogramMetricFamily(
        "scanside_frame_duration_seconds", "Enhanced frames, receipt to RESULT.", labels=MODEL
    )
    bounds = (*map(str, BUCKETS_S), "+Inf")
    for key, model in models:
        total, buckets = 0, []
        for bound, frames in zip(bounds, list(model.buckets), strict=True):
            total += frames
            buckets.append((bound, float(total)))
        found.add_metric(key, buckets, sum_value=model.total / 1000)
    return found


def _frames(counters: Counters) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        "scanside_frames", "RESULTs sent, by outcome and reason.", labels=("outcome", "reason")
    )
    frames.add_metric((Outcome.ENHANCED.value, ""), counters.enhanced)
    for outcome, reasons, counted in (
        (Outcome.BYPASSED, BYPASSES, counters.bypassed),
        (Outcome.REFUSED, REFUSALS, counters.refused),
    ):
        for reason in reasons:
            frames.add_metric((outcome.value, reason.value), counted.get(reason.value, 0))
    yield frames
    yield CounterMetricFamily("scanside_errors", "ERROR messages sent.", value=counters.errors)
    yield CounterMetricFamily(
        "scanside_closed_peers",
        "Sessions ended because the peer was gone or did not read.",
        value=counters.closed_peers,
    )


def _present(status: Status) -> Iterator[Metric]:
    state = GaugeMetricFamily("scanside_state", "1 for the present state.", labels=("state",))
    for one in State:
        state.add_metric((one.value,), float(one.value == status.state))
    yield state
    counters = status.counters
    for name, text, value in (
        ("scanside_queue_depth", "Admitted frames without an answer.", counters.queue),
        ("scanside_sessions", "Open sessions.", counters.sessions),
        ("scanside_streams", "Streams of the open sessions.", counters.streams),
        ("scanside_uptime_seconds", "Since the daemon started.", status.uptime_s),
        ("scanside_guarded", "1 if results are held against a guard's bounds.", status.guarded),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))


def _model(card: ModelCard) -> Metric:
    labels = (*MODEL, "identity", "engine", "signed")
    info = GaugeMetricFamily("scanside_model_info", "The model that serves.", labels=labels)
    signed = str(card.signed).lower()
    info.add_metric((card.name, card.version, card.identity, card.engine, signed), 1)
    return info


def _drift(status: Status) -> Iterable[Metric]:
    drifting = GaugeMetricFamily(
        "scanside_drifting", "1 if the modality's frames drift so.", labels=("modality", "kind")
    )
    strength, shift, streams = (
        GaugeMetricFamily(f"scanside_drift_{name}", text, labels=("modality",))
        for name, text in (
            ("strength", "Change's deviation over the golden frames', median of a window."),
            ("shift", "Change's mean over its deviation, median of a window."),
            ("streams", "Streams that drift by themselves."),
        )
    )
    for one in status.drift:
        for kind in Kind:
            drifting.add_metric((one.modality, kind.value), float(one.drifting == kind.value))
        strength.add_metric((one.modality,), one.strength)
        shift.add_metric((one.modality,), one.shift)
        streams.add_metric((one.modality,), one.streams)
    return drifting, strength, shift, streams
