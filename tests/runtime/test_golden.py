"""Golden frames: equal bytes, hostile bytes, and engines that are nearly right."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_golden, make_manifest, write_test_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BundleFormatError, GoldenMismatchError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.golden import (
    GoldenFigures,
    GoldenFrame,
    check_engine,
    decode_golden,
    encode_golden,
    golden_figures,
)
from scanside.runtime.manifest import Tolerance
from scanside.runtime.stored_zip import read_members, write_members

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
MANIFEST = make_manifest()


def make_frames() -> list[GoldenFrame]:
    rng = np.random.default_rng(0)
    frames = []
    for dtype, bits in (("uint16", 12), ("int16", 16), ("uint8", 8)):
        info = np.iinfo(dtype)
        words = rng.integers(info.min, info.max, (7, 9)).astype(dtype)
        facts = FrameFacts(
            modality="CT",
            bits_stored=bits,
            signed=dtype == "int16",
            photometric="MONOCHROME1",
            slope=-0.3,
            padding=(-5, 3),
        )
        frames.append(GoldenFrame(words=words, facts=facts, result=words[::-1].copy()))
    return frames


def test_frames_come_back_whole_and_equal_frames_are_equal_bytes() -> None:
    frames = make_frames()
    raw = encode_golden(frames)
    assert raw == encode_golden(make_frames())
    for back, frame in zip(decode_golden(raw, MANIFEST), frames, strict=True):
        assert back.facts == frame.facts
        for got, put in ((back.words, frame.words), (back.result, frame.result)):
            assert got.dtype == put.dtype
            assert got.dtype.isnative
            np.testing.assert_array_equal(got, put)


def test_anything_but_contiguous_little_endian_is_written_as_such() -> None:
    frame = make_frames()[0]
    odd = GoldenFrame(
        words=np.asfortranarray(frame.words.astype(">u2")), facts=frame.facts, result=frame.result
    )
    assert encode_golden([odd]) == encode_golden([frame])


def test_numpy_reads_it_without_pickles() -> None:
    with np.load(io.BytesIO(encode_golden(make_frames())), allow_pickle=False) as archive:
        assert archive.files[:3] == ["facts", "words_000", "result_000"]
        np.testing.assert_array_equal(archive["words_001"], make_frames()[1].words)


def with_member(name: str, change: Callable[[bytes], bytes]) -> bytes:
    raw = encode_golden(make_frames())
    members = read_members(io.BytesIO(raw), len(raw), lambda _: len(raw))
    out = io.BytesIO()
    write_members(out, [(key, change(data) if key == name else data) for key, data in members])
    return out.getvalue()


def npy(array: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def json_npy(text: bytes) -> bytes:
    return npy(np.frombuffer(text, dtype=np.uint8))


def with_facts(old: bytes, new: bytes) -> bytes:
    return with_member(
        "facts.npy", lambda data: json_npy(data[data.index(b"[{") :].replace(old, new, 1))
    )


HOSTILE = {
    "empty": b"",
    "not a zip": b"PK\x03\x04" + bytes(100),
    "no frames": encode_golden([]),
    "a pickle": with_member("words_001.npy", lambda _: npy(np.array([{}]), allow_pickle=True)),
    "an empty member": with_member("words_001.npy", lambda _: b""),
    "huge shape": with_member(
        "words_000.npy", lambda data: data.replace(b"(7, 9), }      ", b"(70000, 90000)}")
    ),
    "endless shape": with_member(
        "words_000.npy", lambda data: data.replace(b"(7, 9), }", b"(7, 9, 9, 9)}")
    ),
    "zero rows": with_member("words_000.npy", lambda _: npy(np.zeros((0, 9), np.uint16))),
    "one axis": with_member("words_000.npy", lambda _: npy(np.zeros(63, np.uint16))),
    "three axes": with_member("words_000.npy", lambda _: npy(np.zeros((1, 7, 9), np.uint16))),
    "floats": with_member("words_000.npy", lambda _: npy(np.zeros((7, 9), np.float32))),
    "32 bits": with_member("words_000.npy", lambda _: npy(np.zeros((7, 9), np.int32))),
    "column order": with_member(
        "words_000.npy", lambda _: npy(np.asfortranarray(np.zeros((7, 9), np.uint16)))
    ),
    "another dtype out": with_member("result_000.npy", lambda _: npy(np.zeros((7, 9), np.int16))),
    "another size out": with_member("result_000.npy", lambda _: npy(np.zeros((14, 18), np.uint16))),
    "trailing bytes": with_member("words_000.npy", lambda data: data + b"\0"),
    "facts no JSON": with_member("facts.npy", lambda _: json_npy(b"[{")),
    "facts no UTF-8": with_member("facts.npy", lambda _: json_npy(b'["\xff"]')),
    "facts no list": with_member("facts.npy", lambda _: json_npy(b"{}")),
    "deep facts": with_member("facts.npy", lambda _: json_npy(b"[" * 100_000)),
    "one more frame claimed": with_facts(
        b"[", b'[{"modality":"CT","bits_stored":8,"signed":false},'
    ),
    "too many bits": with_facts(b":12", b":33"),
    "another modality": with_facts(b"CT", b"MR"),
    "slope nought": with_facts(b"-0.3", b"0.0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_malformed_golden_frames_are_a_format_error(name: str) -> None:
    with pytest.raises(BundleFormatError):
        decode_golden(HOSTILE[name], MANIFEST)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_gets_another_error(data: st.DataObject) -> None:
    def damage(whole: bytes) -> bytes:
        raw = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        return bytes(raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))])

    within = data.draw(st.sampled_from(["", "facts.npy", "words_000.npy", "result_002.npy"]))
    hostile = with_member(within, damage) if within else damage(encode_golden(make_frames()))
    with contextlib.suppress(BundleFormatError):
        decode_golden(hostile, MANIFEST)


class Answering:
    """An engine that passes what another gives through `change`."""

    def __init__(self, change: Callable[[Pixels, Pixels, FrameFacts], Pixels], engine: object):
        self._change = change
        self._engine = engine

    @property
    def spec(self) -> EngineSpec:
        return EngineSpec(name="odd", version="0", device="test", threads=1, scale=1)

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts]) -> Pixels:
        result = self._engine.run(pixels, facts)  # type: ignore[attr-defined]
        return self._change(result[0], pixels[0], facts[0])[np.newaxis]

    def warm_up(self, rows: int, columns: int) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("golden")
    return Bundle.open(write_test_bundle(folder / "b.scanside", residual="blur"))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_right_engine_passes_with_figures(name: str, scale: int, tmp_path: Path) -> None:
    path = write_test_bundle(tmp_path / "b.scanside", residual=0.05, scale=scale)
    bundle = Bundle.open(path)
    report = check_engine(open_engine(bundle, name, 1), bundle)
    assert len(report.frames) == len(decode_golden(bundle.member("golden.npz"), bundle.manifest))
    assert report.worst.largest <= 1
    assert report.worst.psnr >= 60


def off_by(hu: int) -> Callable[[Pixels, Pixels, FrameFacts], Pixels]:
    """Adds to one pixel that the model changed."""

    def change(result: Pixels, words: Pixels, facts: FrameFacts) -> Pixels:
        out = result.copy()
        where = np.argwhere(result != words)[0]
        out[tuple(where)] += hu
        return out

    return change


WRONG = {
    "identity": (lambda result, words, facts: words, "is off"),
    "one pixel": (off_by(400), "largest difference"),
    "a transposed image": (lambda result, words, facts: result.T, "gave"),
    "another dtype": (lambda result, words, facts: result.astype(np.int32), "gave"),
    "touched padding": (
        lambda result, words, facts: np.where(words == words.max(), result - 1, result).astype(
            result.dtype
        ),
        "padding or beyond the window",
    ),
    "touched bits above": (
        lambda result, words, facts: np.where(
            (result != words) & (facts.bits_stored == 12), result ^ 0x4000, result
        ).astype(result.dtype),
        "bits above",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_engine_fails_and_the_figure_is_named(name: str, bundle: Bundle) -> None:
    change, message = WRONG[name]
    engine = Answering(change, open_engine(bundle, "onnxruntime", 1))
    with pytest.raises(GoldenMismatchError, match=rf"odd on golden frame \d .*{message}"):
        check_engine(engine, bundle)


def test_figures_are_in_modality_units_and_psnr_has_the_manifests_range(tmp_path: Path) -> None:
    tolerance = Tolerance(largest=1e6, p999=1e6, psnr_floor=0.0, data_range=2000.0)
    path = write_test_bundle(tmp_path / "b.scanside", residual="blur", tolerance=tolerance)
    bundle = Bundle.open(path)
    right = open_engine(bundle, "onnxruntime", 1)
    report = check_engine(Answering(off_by(8), right), bundle)
    golden = decode_golden(make_golden(bundle.manifest, "blur"), bundle.manifest)
    for figures, frame in zip(report.frames, golden, strict=True):
        expected = 10 * np.log10(2000.0**2 / (64 / frame.words.size))
        assert figures.largest == pytest.approx(8, abs=1)
        assert figures.psnr == pytest.approx(expected, abs=2)
        assert figures.p999 <= 1


def test_figures_follow_the_slope() -> None:
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, slope=-0.25, intercept=200.0)
    words = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    frame = GoldenFrame(words=words, facts=facts, result=words)
    golden = {"golden.npz": encode_golden([frame])}
    tolerance = Tolerance(largest=2.0, p999=2.0, psnr_floor=0.0, data_range=1000.0)
    manifest = make_manifest(tolerance=tolerance)
    bundle = Bundle(manifest=manifest, identity="", signer="", _members=golden)
    eight_off = Answering(lambda result, _, __: result + np.uint16(8), Echo())
    report = check_engine(eight_off, bundle)
    assert report.worst.largest == report.worst.p999 == 2.0
    assert report.worst.psnr == pytest.approx(10 * np.log10(1000.0**2 / 4))


def test_of_a_few_pixels_the_largest_difference_alone_counts() -> None:
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False)
    words = np.arange(15, dtype=np.uint16).reshape(5, 3)
    frame = GoldenFrame(words=words, facts=facts, result=words)
    figures = golden_figures(words + np.uint16(8), frame, 1000.0)
    assert figures == GoldenFigures(largest=8.0, p999=0.0, psnr=np.inf)


class Echo:
    def run(self, pixels: Pixels, facts: Sequence[FrameFacts]) -> Pixels:
        return pixels
