"""Prometheus metrics: scraped over HTTP from a daemon that serves frames."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemons import SOON_S, AddOne, Gate, Peer, Residual, loader, running
from scanside.runtime.daemon.metrics import BYPASSES, REFUSALS, metrics_server
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import AddressInUseError, TransportError
from scanside.runtime.manifest import GoldenNoise, Guard
from scanside.runtime.wire import Reason

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
TRITON = [
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
]
MODEL = {"model": "test", "version": "1.0.0"}


@contextmanager
def scraped(engine: object, **options: object) -> Iterator[tuple[Daemon, int]]:
    """A daemon that is READY, and the port of its metrics."""
    ready = threading.Event()
    load = loader(engine, **options)
    with (
        running(load, on_ready=lambda *_: ready.set()) as daemon,
        metrics_server(daemon, 0) as port,
    ):
        assert ready.wait(SOON_S)
        yield daemon, port


def text(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SOON_S) as answer:
        return str(answer.read().decode())


def scrape(port: int) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text(port))
        for sample in family.samples
    }


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_every_reason_is_a_bypass_or_a_refusal() -> None:
    assert {*BYPASSES, *REFUSALS} == set(Reason)


def test_frames_are_counted_under_triton_s_names_and_ours() -> None:
    engine = Residual()
    guard = Guard(largest_change=0.05, largest_rms=0.02)
    with scraped(engine, guard=guard) as (daemon, port), Peer(daemon.url) as peer:
        tissue = np.random.default_rng(0).integers(1000, 1100, (24, 32)).astype(np.uint16)
        for seq, (value, facts) in enumerate(
            [(0.01, {}), (0.01, {}), (0.3, {}), (0.0, {"modality": "MR"}), (0.0, {"rows": 3})]
        ):
            engine.value = value
            peer.send(seq, tissue, **{"bits_stored": 12, "intercept": -1024.0, **facts})
            peer.hear()
        peer.say(b"\xc1")
        assert peer.hear()["type"] == "ERROR"
        found = scrape(port)
    assert {name for name, _ in found} >= set(TRITON)
    assert at(found, "nv_inference_request_success", **MODEL) == 2
    for reason in ("guard", "wrong modality", "malformed"):
        assert at(found, "nv_inference_request_failure", **MODEL, reason=reason) == 1
    assert at(found, "nv_inference_request_failure", **MODEL, reason="late") == 0
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    total = at(found, "nv_inference_request_duration_us", **MODEL)
    assert total == pytest.approx(
        sum(at(found, f"nv_inference_{part}_duration_us", **MODEL) for part in parts)
    )
    assert 10 < total < 2 * SOON_S * 1e6
    assert at(found, "scanside_frames_total", outcome="enhanced", reason="") == 2
    assert at(found, "scanside_frames_total", outcome="bypassed", reason="guard") == 1
    assert at(found, "scanside_frames_total", outcome="refused", reason="wrong modality") == 1
    assert at(found, "scanside_errors_total") == 1
    assert at(found, "scanside_guarded") == 1
    assert at(found, "scanside_sessions") == at(found, "scanside_streams") == 1
    assert at(found, "scanside_state", state="READY") == 1
    assert at(found, "scanside_state", state="DEGRADED") == 0
    assert at(found, "scanside_frame_duration_seconds_count", **MODEL) == 2
    assert at(found, "scanside_frame_duration_seconds_bucket", **MODEL, le="+Inf") == 2
    assert at(
        found, "scanside_model_info", **MODEL, identity="f" * 64, engine="numpy 1", signed="false"
    )
    assert at(found, "process_resident_memory_bytes") > 1e6


def test_waiting_frames_are_the_queue() -> None:
    gate = Gate()
    with scraped(AddOne(gate)) as (daemon, port), Peer(daemon.url) as peer:
        for seq in range(3):
            peer.send(seq)
        gate.wait_entered()
        peer.status()
        found = scrape(port)
        assert at(found, "scanside_queue_depth") == 3
        assert at(found, "nv_inference_pending_request_count", **MODEL) == 3
        for _ in range(3):
            gate.open.release()
            peer.hear()
        assert at(scrape(port), "scanside_queue_depth") == 0


def test_drift_is_a_gauge_by_modality_and_kind() -> None:
    golden = GoldenNoise(mean=0.0, standard_deviation=0.01)
    with scraped(Residual(), golden_noise=golden) as (daemon, port), Peer(daemon.url) as peer:
        assert not any(name.startswith("scanside_drift") for name, _ in scrape(port))
        tissue = np.random.default_rng(0).integers(1000, 1100, (24, 32)).astype(np.uint16)
        for seq in range(64):
            peer.send(seq, tissue)
            peer.hear()
        found = scrape(port)
    assert at(found, "scanside_drifting", modality="CT", kind="too little") == 1
    assert at(found, "scanside_drifting", modality="CT", kind="too much") == 0
    assert at(found, "scanside_drift_strength", modality="CT") == 0
    assert at(found, "scanside_drift_streams", modality="CT") == 1


def test_what_clients_say_makes_no_new_series() -> None:
    with scraped(AddOne()) as (daemon, port):
        with Peer(daemon.url) as peer:
            peer.send(0)
            peer.hear()
            before = scrape(port)
            for number in range(30):
                peer.send(0, stream=f"DOE^JOHN {number}", modality=f"M{number}")
                peer.hear()
                peer.send(1, stream=f"DOE^JOHN {number}")
                peer.hear()
            after = text(port)
        assert set(before) == set(scrape(port))
        assert "DOE" not in after


def test_a_scrape_before_there_is_a_model_works() -> None:
    opened = threading.Event()
    load = loader(AddOne(), check=lambda: opened.wait(SOON_S))
    with running(load) as daemon, metrics_server(daemon, 0) as port:
        found = scrape(port)
        opened.set()
    assert ("scanside_queue_depth", frozenset()) in found
    assert not any(name == "scanside_model_info" for name, _ in found)


def test_scraping_while_clients_come_and_go_never_fails() -> None:
    stop = threading.Event()

    def visit(url: str) -> None:
        while not stop.is_set():
            with Peer(url) as peer:
                for seq in range(3):
                    peer.send(0, stream=str(seq))
                    peer.hear()
                peer.say({"type": "BYE"})

    with scraped(AddOne(), golden_noise=GoldenNoise(mean=0.0, standard_deviation=0.1)) as (
        daemon,
        port,
    ):
        visitors = [threading.Thread(target=visit, args=(daemon.url,)) for _ in range(3)]
        for visitor in visitors:
            visitor.start()
        try:
            for _ in range(50):
                scrape(port)
        finally:
            stop.set()
            for visitor in visitors:
                visitor.join(SOON_S)


def test_a_taken_port_and_a_foreign_address_are_told() -> None:
    with running(loader(AddOne())) as daemon, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AddressInUseError, match="metrics"):
            metrics_server(daemon, other.getsockname()[1]).__enter__()
        with pytest.raises(TransportError, match="metrics"):
            metrics_server(daemon, 0, "192.0.2.1").__enter__()


def test_the_port_is_free_again_afterwards() -> None:
    with running(loader(AddOne())) as daemon:
        with metrics_server(daemon, 0) as port:
            scrape(port)
        with metrics_server(daemon, port) as again:
            assert again == port
