"""The manifest: canonical bytes, versions, bounds and identity."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest

from bundles import make_manifest
from scanside.runtime.errors import BundleFormatError, BundleVersionError
from scanside.runtime.manifest import (
    Acceptance,
    Manifest,
    Member,
    Percentiles,
    Sizes,
    StoredRange,
    Tolerance,
    Window,
    decode_manifest,
    identity_of,
)

DIGEST = "ab" * 32


def raw_with(**changes: Any) -> bytes:
    content = {**json.loads(make_manifest().encode()), **changes}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "intensity",
    [
        Window(lower=-160, upper=240.5, margin=1e-5),
        Percentiles(lower=0.1, upper=99.9, margin=0.25),
        StoredRange(),
    ],
)
def test_round_trip(intensity: Window | Percentiles | StoredRange) -> None:
    manifest = make_manifest(
        intensity=intensity,
        modality=("CT", "MR"),
        description="näher am Gerät",
        changelog={"1.0.0": "first"},
        network_data_format={"inputs": {"image": {"num_channels": 1, "is_patch_data": False}}},
        acceptance=Acceptance(
            data="8 slices",
            data_range=4095,
            unit="HU",
            drift_limit_db=0.1,
            figures={"drift": -0.06},
        ),
        members={"model.onnx": Member(sha256=DIGEST, size=3)},
    )
    raw = manifest.encode()
    assert decode_manifest(raw) == manifest
    assert decode_manifest(raw).encode() == raw


def test_canonical_form_is_sorted_tight_utf8() -> None:
    raw = make_manifest(description="µ").encode()
    assert b": " not in raw.replace(b"https:", b"")
    assert "µ".encode() in raw
    keys = list(json.loads(raw))
    assert keys == sorted(keys)


def test_identity_leaves_plans_out_and_counts_all_else() -> None:
    model = {"model.onnx": Member(sha256=DIGEST, size=3)}
    plan = {f"plans/{DIGEST}.plan": Member(sha256=DIGEST, size=4)}
    bare = make_manifest(members=model)
    identity = identity_of(bare.encode())
    assert identity_of(make_manifest(members={**model, **plan}).encode()) == identity
    others = (
        make_manifest(members={"model.onnx": Member(sha256=DIGEST, size=4)}),
        make_manifest(members=model, version="1.0.1"),
        make_manifest(members=model, serial=1),
    )
    assert len({identity, *(identity_of(other.encode()) for other in others)}) == 4


def test_identity_without_plans_is_the_hash_of_the_bytes() -> None:
    raw = make_manifest().encode()
    assert identity_of(raw) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("version", ["0.1", "2.0", "10.0"])
def test_another_major_version_is_named_before_anything_else(version: str) -> None:
    with pytest.raises(BundleVersionError, match=rf"format {version.split('.')[0]}\b") as caught:
        decode_manifest(json.dumps({"format": version, "name": 7}).encode())
    assert caught.value.next_step


def test_a_newer_minor_version_is_read_and_its_keys_ignored() -> None:
    manifest = decode_manifest(raw_with(format="1.99", invented={"a": [1.5, "x"]}))
    assert manifest.format == "1.99"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", 3),
        ("multiple_of", 0),
        ("receptive_field", -1),
        ("modality", []),
        ("modality", ["ct"]),
        ("name", "Has Space"),
        ("version", "latest"),
        ("task", "two\nlines"),
        ("memory_budget_mb", -5),
        ("serial", -1),
        ("network_data_format", json.loads("[" * 20 + "]" * 20)),
        ("network_data_format", {"a": json.loads("[" * 20 + "]" * 20)}),
        ("members", {"model.onnx": {"sha256": "short", "size": 1}}),
        ("intensity", {"type": "window", "lower": 5, "upper": 5, "margin": 0}),
        ("intensity", {"type": "percentiles", "lower": 99, "upper": 1, "margin": 0}),
        ("sizes", {"minimum": 1, "maximum": 1 << 20, "tile": 512}),
        ("tolerance", {"largest": 1, "p999": 1, "psnr_floor": 60, "data_range": 0}),
    ],
)
def test_values_out_of_bounds_are_refused(field: str, value: object) -> None:
    with pytest.raises(BundleFormatError):
        decode_manifest(raw_with(**{field: value}))


def test_impossible_values_cannot_be_made_either() -> None:
    with pytest.raises(ValueError, match="below"):
        Window(lower=1, upper=0, margin=0)
    with pytest.raises(ValueError, match="below"):
        Percentiles(lower=50, upper=50, margin=0)
    with pytest.raises(ValueError, match="smallest"):
        Sizes(minimum=10, maximum=9)
    with pytest.raises(ValueError, match="data range"):
        Tolerance(largest=1, p999=1, psnr_floor=1, data_range=0)


def test_values_out_of_bounds_are_not_written() -> None:
    tolerance = Tolerance(largest=float("nan"), p999=1, psnr_floor=1, data_range=1)
    with pytest.raises(BundleFormatError, match=r"\$\.tolerance\.largest"):
        make_manifest(tolerance=tolerance).encode()


def test_equal_manifests_are_equal_bytes() -> None:
    whole = make_manifest(intensity=Window(lower=-160, upper=240, margin=0))
    decimal = make_manifest(intensity=Window(lower=-160.0, upper=240.0, margin=0.0))
    assert whole == decimal
    assert whole.encode() == decimal.encode()


def test_an_error_says_where_and_quotes_no_control_characters() -> None:
    with pytest.raises(BundleFormatError, match=r"\$\.tolerance\.largest"):
        decode_manifest(
            raw_with(tolerance={"largest": -1, "p999": 1, "psnr_floor": 1, "data_range": 1})
        )
    hostile = {"type": "\x1b]0;owned\x07", "lower": 0, "upper": 1, "margin": 0}
    with pytest.raises(BundleFormatError) as caught:
        decode_manifest(raw_with(intensity=hostile))
    assert str(caught.value).isprintable()


def test_the_struct_forgets_no_field_of_the_file() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Manifest)}
    assert set(json.loads(make_manifest().encode())) == fields
