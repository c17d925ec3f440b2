"""The table of platforms: rows that are whole, and refusals that say why."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from scanside.runtime.cli.targets import targets as verb
from scanside.runtime.errors import TargetError
from scanside.runtime.platforms import find_target, targets

FIRST_TENSORRT = (10, 3)


def test_every_row_is_whole():
    assert len(targets()) > 15
    for name, target in targets().items():
        assert re.fullmatch(r"[a-z0-9.-]+-jp\d\.\d", name)
        assert target.module.source.startswith("https://")
        assert target.release.source.startswith("https://")
        assert target.module.memory_gb >= 4
        version = tuple(int(part) for part in target.release.tensorrt.split("."))
        assert bool(target.refused) == (version < FIRST_TENSORRT)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nano-jp4.6", "no INT8"),
        ("xavier-nx-jp5.1", "ends at JetPack 5"),
        ("agx-orin-64gb-jp5.1", "update the device to JetPack 6.2"),
        ("orin-nx-16gb-jp6.0", "TensorRT 8.6"),
        ("orin-nx-16gb-jp6.3", "the nearest is 'orin-nx-16gb-jp6."),
        ("", "the nearest"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(name, why):
    with pytest.raises(TargetError) as caught:
        find_target(name)
    assert why in str(caught.value)


def test_the_verb_lists_what_can_be_compiled_for():
    shown = CliRunner().invoke(verb, env={"COLUMNS": "200"}).output
    assert "orin-nx-16gb-jp6.2" in shown
    assert "jp5.1" not in shown
    assert "ends at JetPack 5" in CliRunner().invoke(verb, ["--all"], env={"COLUMNS": "300"}).output
