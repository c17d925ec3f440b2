"""The reader against good bundles and against everything in tests/attacks/bundles.py."""

from __future__ import annotations

import io
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.bundles import all_attacks, archive, members_of, with_manifest
from bundles import make_manifest, make_members, write_test_bundle
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import (
    CPU_MODEL,
    GOLDEN,
    MANIFEST,
    MAX_BUNDLE_BYTES,
    MODEL,
    REPORT,
    SIGNATURE,
    TRT_MODEL,
    Bundle,
    read_bundle,
)
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BundleError, BundleFormatError, BundleTooLargeError
from scanside.runtime.golden import check_engine, decode_golden


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "good.scanside").read_bytes()


def read(data: bytes) -> Bundle:
    return read_bundle(io.BytesIO(data), len(data))


def refused(data: bytes) -> bool:
    try:
        read(data)
    except BundleError:
        return True
    return False


def test_opens_and_hands_out_the_bytes_that_were_packed(tmp_path: Path) -> None:
    manifest = make_manifest()
    members = make_members(manifest)
    write_bundle(tmp_path / "a.scanside", manifest, members)
    bundle = Bundle.open(tmp_path / "a.scanside")
    assert bundle.names == (MANIFEST, GOLDEN, CPU_MODEL, MODEL, REPORT)
    assert {name: bundle.member(name) for name in members} == members
    assert bundle.manifest.name == "test"
    assert not bundle.signed


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("residual", ["zero", 0.125, "blur"])
def test_an_engine_passes_the_golden_frames_of_a_test_bundle(
    tmp_path: Path, residual: str | float, scale: int
) -> None:
    path = write_test_bundle(
        tmp_path / "b.scanside",
        residual=residual,
        scale=scale,
        tile=16,
        multiple_of=8,
        receptive_field=1,
    )
    bundle = Bundle.open(path)
    engine = open_engine(bundle, "onnxruntime", threads=1)
    worst = check_engine(engine, bundle).worst
    engine.close()
    assert worst.largest <= (1 if residual == "blur" else 0)
    if scale == 1:
        golden = decode_golden(bundle.member(GOLDEN), bundle.manifest)
        changed = any((frame.words != frame.result).any() for frame in golden)
        assert changed == (residual != "zero")


def test_an_absent_optional_member_is_named(good: bytes) -> None:
    with pytest.raises(BundleFormatError, match=r"no model\.trt\.onnx"):
        read(good).member(TRT_MODEL)


def test_plans_and_a_tensorrt_model_are_carried(tmp_path: Path) -> None:
    manifest = make_manifest()
    plan = f"plans/{'0' * 64}.plan"
    extra = {TRT_MODEL: b"trt", plan: b"plan"}
    bundle = write_bundle(tmp_path / "a.scanside", manifest, {**make_members(manifest), **extra})
    assert bundle.member(plan) == b"plan"
    assert bundle.member(TRT_MODEL) == b"trt"


def test_a_signature_that_nobody_verified_does_not_count(tmp_path: Path) -> None:
    manifest = make_manifest()
    members = {**make_members(manifest), SIGNATURE: bytes(64)}
    bundle = write_bundle(tmp_path / "a.scanside", manifest, members)
    assert bundle.names[:2] == (MANIFEST, SIGNATURE)
    assert not bundle.signed


def test_keys_of_a_newer_minor_version_are_ignored_but_count(good: bytes) -> None:
    newer = read(with_manifest(good, lambda m: m.update(format="1.7", invented=[1, 2.5])))
    other = read(with_manifest(good, lambda m: m.update(format="1.7", invented=[1, 2.75])))
    assert newer.manifest == other.manifest
    assert newer.identity != other.identity


def test_every_attack_gets_its_typed_error(good: bytes) -> None:
    attacks = all_attacks(good)
    assert len(attacks) > 200
    failures = []
    for attack in attacks:
        try:
            read(attack.data)
        except BundleError as error:
            if not isinstance(error, attack.error):
                failures.append(f"{attack.name}: {type(error).__name__} {error}")
        else:
            failures.append(f"{attack.name}: opened")
    assert not failures


def test_the_manifest_must_come_first(good: bytes) -> None:
    members = members_of(good)
    with pytest.raises(BundleFormatError, match=r"begin with manifest\.json"):
        read(archive({REPORT: members[MANIFEST], **members}))


def test_no_attack_makes_the_reader_take_memory(good: bytes) -> None:
    for attack in all_attacks(good):
        tracemalloc.start()
        assert refused(attack.data), attack.name
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20, attack.name


def test_every_single_byte_matters(good: bytes) -> None:
    rng = random.Random(20)
    for offset in range(len(good)):
        mutated = bytearray(good)
        mutated[offset] ^= rng.randrange(1, 256)
        assert refused(bytes(mutated)), offset


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.floats(0, 1), length=st.integers(0, 200), insert=st.binary(max_size=200))
def test_spliced_bundles_are_refused(good: bytes, start: float, length: int, insert: bytes) -> None:
    at = int(start * len(good))
    spliced = good[:at] + insert + good[at + length :]
    assert spliced == good or refused(spliced)


@given(data=st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_rubbish_is_refused(data: bytes) -> None:
    assert refused(b"PK\x03\x04" + data)


def test_a_file_over_the_cap_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.scanside"
    with path.open("wb") as stream:
        stream.truncate(MAX_BUNDLE_BYTES + 1)
    with pytest.raises(BundleTooLargeError):
        Bundle.open(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BundleError, match="is not a file"):
            Bundle.open(path)


def test_a_file_that_grows_while_it_is_read_is_refused(good: bytes) -> None:
    with pytest.raises(BundleFormatError):
        read_bundle(io.BytesIO(good + b"more"), len(good))
