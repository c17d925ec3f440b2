"""A daemon with keys, and none of whoever runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyed_house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(autouse=True)
def no_keys_of_whoever_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCANSIDE_KEYS", raising=False)
