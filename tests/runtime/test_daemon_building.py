"""The plan that TensorRT needs is built when it is not there, once, in the right folder.

The builder, its child process and the device are tested in tests/compile/plan; here they are named
by what they are told and what comes back.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bundles import write_test_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.daemon import building, journal
from scanside.runtime.daemon.loading import EngineChoice, FileSource, StoreSource
from scanside.runtime.engines import choose
from scanside.runtime.errors import EngineUnavailableError, PlanError
from scanside.runtime.plan_lines import Line
from scanside.runtime.planner import plans_folder
from scanside.runtime.store import Store

DEVICE = object()


def tell(progress: str) -> None:
    """Nobody listens."""


class Builder:
    """built: (file, folder) of each build. plan: whether one is there. fails: what it raises."""

    def __init__(self) -> None:
        self.built: list[tuple[Path, Path]] = []
        self.plan = False
        self.fails: Exception | None = None
        self.looked: list[tuple[Path, ...]] = []

    def find(self, bundle: Bundle, device: object, folders: Any) -> bytes:
        assert device is DEVICE
        self.looked.append(tuple(folders))
        if not self.plan:
            raise EngineUnavailableError("there is none")
        return b"plan"

    def build(self, file: Path, folder: Path, show: Any) -> Any:
        self.built.append((file, folder))
        show(Line(phase="parsing"))
        for done in range(3):
            show(Line(phase="building\n", done=done, steps=4))
        if self.fails is not None:
            raise self.fails
        self.plan = True
        return SimpleNamespace(evidence=SimpleNamespace(seconds=12.34))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    one = Builder()
    monkeypatch.setattr(building, "tensorrt_version", lambda: "10.3.0")
    monkeypatch.setattr(building, "probe", lambda: DEVICE)
    monkeypatch.setattr(building, "find_plan", one.find)
    monkeypatch.setattr(building, "build_plan_file", one.build)
    return one


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "ct.scanside")


@pytest.mark.parametrize("engine", ["auto", "tensorrt"])
def test_it_is_built_once(builder: Builder, file: Path, tmp_path: Path, engine: str) -> None:
    folders = tmp_path / "first", tmp_path / "second"
    for _ in range(2):
        building.build_missing_plan(Bundle.open(file), file, engine, folders, tell)
    assert builder.built == [(file, folders[0])]
    assert builder.looked == [folders] * 2


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_other_engines_need_none(builder: Builder, file: Path, tmp_path: Path, engine: str) -> None:
    building.build_missing_plan(Bundle.open(file), file, engine, (tmp_path,), tell)
    assert not builder.looked


def test_without_tensorrt_or_a_gpu_there_is_nothing_to_build(
    builder: Builder, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise EngineUnavailableError("no driver")

    monkeypatch.setattr(building, "probe", missing)
    building.build_missing_plan(Bundle.open(file), file, "tensorrt", (tmp_path,), tell)
    assert not builder.looked


def test_a_build_that_fails_ends_the_engine_that_was_named_only(
    builder: Builder, file: Path, tmp_path: Path
) -> None:
    builder.fails = PlanError("it crashed")
    building.build_missing_plan(Bundle.open(file), file, "auto", (tmp_path,), tell)
    with pytest.raises(PlanError):
        building.build_missing_plan(Bundle.open(file), file, "tensorrt", (tmp_path,), tell)


def test_a_store_keeps_its_plans_and_a_file_the_users(
    builder: Builder, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    really = choose.open_engine

    def open_engine(bundle: Bundle, name: str, threads: int | None, plans: Any) -> Any:
        asked.append(tuple(plans))
        return really(bundle, "onnxruntime", 1, plans)

    monkeypatch.setattr(choose, "open_engine", open_engine)
    store = Store(tmp_path / "store", allow_unsigned=True)
    installed = store.install(file)
    store.activate(installed.sha256)
    StoreSource(store, EngineChoice()).first(lambda *_: None).engine.close()
    assert asked == [(store.plans,)]
    assert builder.built == [(store.file_of(installed.sha256), store.plans)]
    builder.plan = False
    FileSource(file, EngineChoice(), allow_unsigned=True).first(lambda *_: None).engine.close()
    assert asked[1] == (plans_folder(),)
    assert builder.built[1] == (file, plans_folder())


def test_its_phases_are_told(
    builder: Builder, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scanside.daemon")
    building.build_missing_plan(Bundle.open(file), file, "auto", (tmp_path,), tell)
    told = [(one.msg, getattr(one, "phase", None)) for one in caplog.records]
    assert told == [("building", "parsing"), ("building", "building"), ("plan built", None)]
    assert "phase" in journal.FIELDS


@pytest.mark.parametrize(
    ("every_s", "expected"),
    [
        (60.0, ["parsing", "building 0%"]),
        (0.0, ["parsing", "building 0%", "building 25%", "building 50%"]),
    ],
)
def test_how_far_it_is_is_told_about_once_a_second(
    builder: Builder,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_s: float,
    expected: list[str],
) -> None:
    monkeypatch.setattr(building, "TELL_S", every_s)
    told: list[str] = []
    building.build_missing_plan(Bundle.open(file), file, "auto", (tmp_path,), told.append)
    assert told == expected
