"""Engines: the same answer from both libraries, whatever the batch, the tiles and the history."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles import CT_WINDOW, make_manifest, write_test_bundle
from networks import MULTIPLE, RECEPTIVE_FIELD, make_unet
from scanside.compile.golden import golden_inputs
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine, EngineSpec, choose, onnxruntime, openvino
from scanside.runtime.engines.choose import available_engines, fastest, open_engine
from scanside.runtime.engines.cpu import CpuEngine, device_name, usable_threads
from scanside.runtime.errors import EngineError, EngineUnavailableError, GoldenMismatchError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.manifest import Sizes
from scanside.runtime.tiling import Float, Network

LOADERS = {"onnxruntime": onnxruntime.load_network, "openvino": openvino.load_network}
FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCANSIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def words() -> Pixels:
    return np.random.default_rng(1).integers(0, 4096, (3, 71, 130)).astype(np.uint16)


def make_engine(
    network: Network, *, name: str = "test", tile: int = 1024, scale: int = 1
) -> Engine:
    manifest = make_manifest(
        sizes=Sizes(tile=tile),
        multiple_of=MULTIPLE,
        receptive_field=RECEPTIVE_FIELD,
        scale=scale,
    )
    spec = EngineSpec(name="test", version="0", device="test", threads=1, scale=scale)
    return CpuEngine(manifest, network, spec)


@pytest.mark.parametrize("library", LOADERS)
@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_batches_and_history_change_nothing(library: str, scale: int, words: Pixels) -> None:
    network = LOADERS[library](make_unet(scale), 2)
    whole = make_engine(network, scale=scale)
    tiled = make_engine(network, tile=64, scale=scale)
    facts = [FACTS] * 3

    together = whole.run(words, facts)

    assert together.shape == (3, 71 * scale, 130 * scale)
    assert together.dtype == np.uint16
    alone = np.concatenate([whole.run(words[i : i + 1], [FACTS]) for i in (2, 0, 1)])
    np.testing.assert_array_equal(together, alone[[1, 2, 0]])
    difference = tiled.run(words, facts).astype(int) - together
    # Another tile may round 1e-6 the other way, on a half.
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-3
    if scale == 1:
        assert (together != words).mean() > 0.01


@pytest.mark.parametrize("scale", [1, 2])
def test_both_libraries_agree(scale: int) -> None:
    image = np.random.default_rng(2).random((1, 1, 64, 96), dtype=np.float32)
    one, other = (load(make_unet(scale), 1)(image) for load in LOADERS.values())
    assert one.shape == (1, 1, 64 * scale, 96 * scale)
    np.testing.assert_allclose(one, other, atol=2e-5)


def test_openvino_stays_in_float32_for_every_shape() -> None:
    """bfloat16, OpenVINO's default where the CPU has it, is 1e-3 off."""
    image = np.random.default_rng(3).random((1, 1, 64, 64), dtype=np.float32)
    model = make_unet(1)
    network = openvino.load_network(model, 1)
    first = network(image)
    for side in (32, 64, 96, 128, 160, 192):  # more shapes than are kept
        assert network(np.zeros((1, 1, side, 64), np.float32)).shape == (1, 1, side, 64)
    np.testing.assert_array_equal(network(image), first)
    reference = onnxruntime.load_network(model, 1)(image)
    assert np.abs(first - reference).max() < 2e-5


def test_openvino_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    """On its own it sends an event when imported, and leaves ~/intel behind."""
    program = (
        "import sys; from scanside.runtime.engines.openvino import load_network;"
        "load_network(sys.stdin.buffer.read(), 1);"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", program], input=make_unet(1), env=environment, check=True, timeout=60
    )
    assert list(tmp_path.iterdir()) == []


def test_openvino_leaves_signals_alone() -> None:
    """Networks that go, the older first, once left the thread a signal stack without memory."""
    program = """if True:
        import faulthandler, os, signal, sys
        import numpy as np
        from scanside.runtime.engines.openvino import load_network

        faulthandler.enable()
        model = sys.stdin.buffer.read()
        networks = [load_network(model, 1) for _ in range(2)]
        for network in networks:
            network(np.zeros((1, 1, 32, 32), np.float32))
        del network, networks[0]
        del networks[0]
        signal.signal(signal.SIGHUP, lambda *_: print("handled"))
        os.kill(os.getpid(), signal.SIGHUP)
    """
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=make_unet(1), capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"handled\n")


def test_a_result_is_not_overwritten_by_the_next_frame() -> None:
    for load in LOADERS.values():
        network = load(make_unet(1), 1)
        first = network(np.full((1, 1, 32, 32), 0.25, np.float32))
        kept = first.copy()
        network(np.full((1, 1, 32, 32), 0.75, np.float32))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("module", [onnxruntime, openvino])
def test_what_is_no_model_is_refused(module: object) -> None:
    with pytest.raises(EngineUnavailableError, match="cannot load the model"):
        module.load_network(b"not an ONNX file", 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_library_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = Bundle.open(write_test_bundle(tmp_path / "b.scanside"))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineUnavailableError, match=r"scanside\[cpu\]"):
        open_engine(bundle, name)
    assert name not in available_engines()
    for other in LOADERS:
        monkeypatch.setitem(sys.modules, other, None)
    with pytest.raises(EngineUnavailableError, match=r"scanside\[cpu\]"):
        open_engine(bundle)


def test_a_network_that_fails_or_yields_rubbish_is_an_engine_error(words: Pixels) -> None:
    def raising(image: Float) -> Float:
        raise RuntimeError("patient JOHN^DOE")

    with pytest.raises(EngineError, match="RuntimeError") as caught:
        make_engine(raising).run(words, [FACTS] * 3)
    assert "DOE" not in str(caught.value)
    with pytest.raises(EngineError, match="not finite"):
        make_engine(lambda image: np.full_like(image, np.nan)).run(words, [FACTS] * 3)
    with pytest.raises(EngineError, match="gave"):
        make_engine(lambda image: image[:, :, 1:]).run(words, [FACTS] * 3)


def test_a_closed_engine_says_so(words: Pixels) -> None:
    engine = make_engine(lambda image: image * 0)
    np.testing.assert_array_equal(engine.run(words, [FACTS] * 3), words)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(words, [FACTS] * 3)


def test_the_input_is_not_written_to_and_may_be_read_only(words: Pixels) -> None:
    frozen = words.copy()
    frozen.flags.writeable = False
    out = make_engine(lambda image: image * 0 + 0.1).run(frozen, [FACTS] * 3)
    assert (out != frozen).any()


def test_warming_up_runs_the_shape_that_frames_will_have(words: Pixels) -> None:
    shapes: list[tuple[int, ...]] = []

    def recording(image: Float) -> Float:
        shapes.append(image.shape)
        return image * 0

    engine = make_engine(recording, tile=64)
    engine.warm_up(71, 130)
    warmed = set(shapes)
    engine.run(words[:1], [FACTS])
    assert set(shapes) == warmed


def test_a_frame_with_nothing_to_see_never_reaches_the_network() -> None:
    def forbidden(image: Float) -> Float:
        raise AssertionError

    constant = np.full((1, 8, 8), 700, dtype=np.uint16)
    np.testing.assert_array_equal(make_engine(forbidden).run(constant, [FACTS]), constant)


def test_facts_of_another_number_of_frames_are_refused(words: Pixels) -> None:
    with pytest.raises(ValueError, match="facts"):
        make_engine(lambda image: image).run(words, [FACTS])


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_bundles_engine_says_what_it_is_and_does_what_it_says(
    name: str, scale: int, tmp_path: Path
) -> None:
    path = write_test_bundle(tmp_path / "b.scanside", residual=60 / 800, scale=scale)
    bundle = Bundle.open(path)
    engine = open_engine(bundle, name, threads=1)
    assert engine.spec == EngineSpec(
        name=name,
        version=available_engines()[name],
        device=device_name(),
        threads=1,
        scale=scale,
    )
    assert CT_WINDOW.upper - CT_WINDOW.lower + 2 * CT_WINDOW.margin == 800
    words, facts = golden_inputs("CT", Sizes(tile=64), 0)[0]
    out = engine.run(words[np.newaxis], [facts])[0]
    if scale == 1:
        soft = (words > -160) & (words < 240)
        assert (out[soft] - words[soft] == 60).all()


def test_an_unknown_engine_is_refused_by_name(tmp_path: Path) -> None:
    bundle = Bundle.open(write_test_bundle(tmp_path / "b.scanside"))
    with pytest.raises(
        EngineUnavailableError, match="choose one of auto, tensorrt, openvino, onnxruntime"
    ):
        open_engine(bundle, "abacus")


def test_auto_opens_something_and_remembers_it(tmp_path: Path, cache: Path) -> None:
    bundle = Bundle.open(write_test_bundle(tmp_path / "b.scanside", residual="blur"))
    first = open_engine(bundle, threads=1)
    assert first.spec.name in LOADERS
    assert len(list((cache / "engines").iterdir())) == 1
    assert open_engine(bundle, threads=1).spec == first.spec


def fake_libraries(
    monkeypatch: pytest.MonkeyPatch, seconds: Mapping[str, float], wrong: tuple[str, ...] = ()
) -> list[str]:
    """Engines that add nothing (right for a zero-residual bundle) or, if `wrong`, a lot; their
    speed is as told. Returns the list that records every loading."""
    loaded: list[str] = []

    def loader(name: str) -> Callable[[bytes, int], Network]:
        def load(model: bytes, threads: int) -> Network:
            loaded.append(name)
            return lambda image: np.full_like(image, 0.5 if name in wrong else 0.0)

        return load

    libraries = {name: choose._Library(lambda: "1", loader(name)) for name in seconds}
    monkeypatch.setattr(choose, "_LIBRARIES", libraries)
    monkeypatch.setattr(choose, "_time", lambda bundle, engines: seconds)
    return loaded


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(write_test_bundle(tmp_path / "b.scanside"))


def test_auto_leaves_out_what_fails_the_golden_frames(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_libraries(monkeypatch, {"a": 1.0, "b": 9.0}, wrong=("a",))
    assert open_engine(bundle).spec.name == "b"
    fake_libraries(monkeypatch, {"a": 1.0, "b": 9.0}, wrong=("a", "b"))
    with pytest.raises(GoldenMismatchError, match="a on golden frame"):
        open_engine(bundle)
    assert open_engine(bundle, "a").spec.name == "a", "a named engine is never swapped"


def test_the_kept_choice_outlives_a_change_of_speed_but_not_of_version(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fake_libraries(monkeypatch, {"a": 2.0, "b": 1.0})
    assert open_engine(bundle, threads=2).spec.name == "b"
    loaded = fake_libraries(monkeypatch, {"a": 1.0, "b": 2.0})
    assert open_engine(bundle, threads=2).spec.name == "b"
    assert loaded == ["b"], "nothing else is opened for a kept choice"
    assert open_engine(bundle, threads=1).spec.name == "a"
    for record in (cache / "engines").iterdir():
        record.write_bytes(b"\x00 not json")
    assert open_engine(bundle, threads=2).spec.name == "a"
    loaded.clear()
    assert open_engine(bundle, threads=2).spec.name == "a"
    assert loaded == ["a"], "an unreadable record was replaced"
    fake_libraries(monkeypatch, {"a": 1.0, "c": 0.1})
    assert open_engine(bundle, threads=2).spec.name == "c"


def test_a_kept_engine_that_now_fails_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_libraries(monkeypatch, {"a": 2.0, "b": 1.0})
    assert open_engine(bundle).spec.name == "b"
    fake_libraries(monkeypatch, {"a": 2.0, "b": 1.0}, wrong=("b",))
    assert open_engine(bundle).spec.name == "a"


def test_two_that_measure_at_once_agree_with_the_first(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_libraries(monkeypatch, {"a": 1.0, "b": 1.0})

    def meanwhile(bundle: Bundle, engines: list[Engine]) -> dict[str, float]:
        monkeypatch.setattr(choose, "_time", lambda bundle, engines: {"a": 2.0, "b": 1.0})
        assert open_engine(bundle).spec.name == "b"
        return {"a": 1.0, "b": 2.0}

    monkeypatch.setattr(choose, "_time", meanwhile)
    assert open_engine(bundle).spec.name == "b"


def test_a_cache_that_cannot_be_written_does_no_harm(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SCANSIDE_CACHE", str(tmp_path / "file"))
    fake_libraries(monkeypatch, {"a": 1.0, "b": 1.0})
    assert open_engine(bundle).spec.name == "a"


def test_auto_times_the_engines_themselves(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = choose._time
    fake_libraries(monkeypatch, {"slow": 0.0, "quick": 0.0})
    quick = choose._LIBRARIES["quick"]

    def load_slow(model: bytes, threads: int) -> Network:
        network = quick.load_network(model, threads)

        def slow(image: Float) -> Float:
            time.sleep(0.02)
            return network(image)

        return slow

    slow = choose._Library(lambda: "1", load_slow)
    monkeypatch.setattr(choose, "_LIBRARIES", {"slow": slow, "quick": quick})
    monkeypatch.setattr(choose, "_time", measure)
    assert open_engine(bundle).spec.name == "quick"


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_order_decides_unless_another_is_clearly_faster(first: float, second: float) -> None:
    chosen = fastest(["first", "second"], {"first": first, "second": second})
    assert chosen == ("second" if first / second > 1.15 + 1e-9 else chosen)
    assert chosen == ("first" if first / second < 1.15 - 1e-9 else chosen)


def test_threads_are_what_the_process_may_use() -> None:
    assert 1 <= usable_threads() <= (os.cpu_count() or 1)


def test_the_command_line_offers_the_engines_there_are() -> None:
    from scanside.runtime.cli.engine_options import NAMES

    assert NAMES == choose.ENGINE_NAMES


def test_onnx_runtime_tells_nobody_anything(tmp_path: Path) -> None:
    """Its telemetry client leaves a file behind as soon as it starts."""
    code = "import scanside.runtime.engines.onnxruntime as engine; engine.version()"
    told = {}
    for name, before in (("ours", code), ("by itself", "import onnxruntime")):
        folder = tmp_path / name
        folder.mkdir()
        environment = {**os.environ, "TMPDIR": str(folder)}
        environment.pop("ORT_DISABLE_TELEMETRY", None)
        subprocess.run([sys.executable, "-c", before], env=environment, check=True)
        told[name] = [path.name for path in folder.iterdir()]
    assert told["ours"] == []
    if not told["by itself"]:
        pytest.skip("this ONNX Runtime starts no telemetry by itself: nothing to switch off")
