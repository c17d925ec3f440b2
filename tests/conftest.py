"""Fixtures that every package's tests share."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanside.runtime.daemon import journal

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real DICOM from real scanners: SCANSIDE_DATA, by default shared/data beside the checkout."""
    folder = Path(os.environ.get("SCANSIDE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real DICOM here: set SCANSIDE_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests choose engines and trust for themselves: neither read nor write the user's."""
    os.environ["SCANSIDE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["SCANSIDE_TRUST"] = str(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def daemon_log() -> Iterator[io.StringIO]:
    """What a daemon of this test writes to its log."""
    loggers = [logging.getLogger(name) for name in ("scanside", "scanside.daemon")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    stream = io.StringIO()
    journal.log_to(stream)
    yield stream
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.level, one.propagate = handlers, level, propagate


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run: every stage, for real, in about half a minute."""
    pytest.importorskip("torch", reason="needs the extra [workstation]")
    from scanside.train.stages import train_recipe
    from tiny import TINY

    return train_recipe(
        TINY, tmp_path_factory.mktemp("tiny") / "train", [], lambda line: None
    ).folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """The bundle compiled from `tiny_run`, through the real gate."""
    from scanside.compile.build import compile_run

    path = tiny_run.parent / "tiny.scanside"
    compile_run(tiny_run, path, lambda line: None)
    return path
