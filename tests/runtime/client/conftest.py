"""How the client's pixels travel."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, params=["shm", "inline"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How pixels travel, in every test here."""
    if request.param == "inline":
        monkeypatch.setattr("scanside.runtime.client.transports", lambda *_, **__: ("inline",))
