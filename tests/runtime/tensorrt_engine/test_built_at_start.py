"""A daemon's store without the plan, or with a spoilt one: the builder's own child process builds
it, the engine's own child tries it, and it serves. TensorRT is the doubles of both in one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundles import write_test_bundle
from devices import FAKE_TENSORRT
from scanside.runtime.daemon.loading import EngineChoice, StoreSource
from scanside.runtime.daemon.states import State
from scanside.runtime.manifest import Sizes
from scanside.runtime.store import Store
from thin_device import TESTS, ThinDevice

BOTH = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import fake_tensorrt, thin_tensorrt
from fake_tensorrt import *
from thin_tensorrt import *
from thin_tensorrt import VERSION as __version__
Engine.create_engine_inspector = lambda self: fake_tensorrt.Runtime(None)
class Builder(fake_tensorrt.Builder):
    def build_serialized_network(self, network, config):
        super().build_serialized_network(network, config)
        return thin_tensorrt.make_plan("blur", side=256)
"""


class Told(list[tuple[State, str]]):
    def __call__(self, state: State, progress: str = "") -> None:
        self.append((state, progress))


@pytest.fixture
def builds(device: ThinDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Is there once a build has begun."""
    shutil.copy(FAKE_TENSORRT, device.packages / "fake_tensorrt.py")
    (device.packages / "tensorrt.py").write_text(BOTH)
    monkeypatch.setenv("SCANSIDE_CACHE", str(tmp_path / "cache"))
    return device.packages / "building"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    file = write_test_bundle(
        tmp_path / "b.scanside", residual="blur", receptive_field=1, sizes=Sizes(maximum=256)
    )
    one = Store(tmp_path / "store", allow_unsigned=True)
    one.activate(one.install(file).sha256)
    return one


def serve(store: Store) -> Told:
    told = Told()
    loaded = StoreSource(store, EngineChoice("tensorrt")).first(told)
    loaded.check()
    assert loaded.engine.spec.name == "tensorrt"
    loaded.engine.close()
    return told


def test_the_missing_plan_is_built_into_the_store_and_told_how_far_it_is(
    store: Store, builds: Path
) -> None:
    told = serve(store)
    assert told[:2] == [(State.VERIFYING, ""), (State.BUILDING, "")]
    assert {state for state, _ in told[2:]} == {State.BUILDING}
    assert any(progress.startswith("Building Engine") for _, progress in told)
    assert sorted(path.suffix for path in store.plans.iterdir()) == [".json", ".plan"]
    builds.unlink()
    assert serve(store) == [(State.VERIFYING, ""), (State.BUILDING, "")]
    assert not builds.exists(), "it was kept"


def test_a_plan_with_another_sha256_is_not_loaded_and_built_again(
    store: Store, builds: Path
) -> None:
    serve(store)
    (plan,) = store.plans.glob("*.plan")
    good = plan.read_bytes()
    builds.unlink()
    plan.write_bytes(good.replace(b'"blur"', b'"nan" '))
    serve(store)
    assert builds.exists()
    assert plan.read_bytes() == good
