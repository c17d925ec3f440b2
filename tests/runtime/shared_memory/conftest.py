"""A daemon that frames are shared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemons import serving


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as url:
        yield url
