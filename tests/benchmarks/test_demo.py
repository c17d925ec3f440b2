"""The demo from end to end on a small run: what it writes, and that its bars can be missed."""

from __future__ import annotations

import json
import re

import pytest

from scanside.benchmarks import demo
from scanside.benchmarks.latency.networks import BASELINE
from scanside.benchmarks.tables import StageFigures
from scanside.runtime.interleave import Latency
from scanside.train.run import Run
from tiny import TINY


@pytest.fixture(scope="module")
def report(tiny_run, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SCANSIDE_DATA", str(tmp_path_factory.mktemp("no data")))
    patch.setattr(demo, "ROUNDS", 3)
    patch.setattr(demo, "SIDE", 64)
    said: list[str] = []
    page = demo.run_demo(TINY, tiny_run.parent, said.append)  # its training is done already
    patch.undo()
    return page, said


def test_the_page_needs_no_other_file(report):
    text = report[0].read_text()
    assert text.count("data:image/png;base64,") == 5
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "unseen phantoms" in text or "did not see" in text
    assert "not verified on hardware" in text
    assert "4095 HU" in text


def test_every_frame_came_back_identical_through_the_daemon(report):
    found = json.loads(report[0].with_suffix(".json").read_text())
    (check,) = [check for check in found["checks"] if "through the daemon" in check["what"]]
    assert check["passed"]
    names = list(found["stages"])
    assert found["stages"][names[-1]]["gains"] == found["stages"][names[-2]]["gains"]
    assert BASELINE in found["latency"]


def test_it_says_what_it_does(report):
    said = "\n".join(report[1])
    for step in range(1, 6):
        assert f"{step}/5" in said


def stage(psnr: float, gain: float = 7.0, worst: float = 4.0) -> StageFigures:
    return StageFigures(psnr=psnr, ssim=1.0, gain=gain, worst_gain=worst, gains=[gain])


def latency(ratio: float) -> Latency:
    return Latency(p50=1 / ratio, p90=1, p99=1, ratio=ratio, ratio_low=ratio, ratio_high=ratio)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"gain": 5.9}, ["mean"]),
        ({"worst": 3.4}, ["worst slice"]),
        ({"pruned": 47.8}, ["pruned"]),
        ({"int8": 47.8}, ["INT8 against"]),
        ({"ratio": 4.9}, ["speed"]),
        ({"identical": False}, ["daemon"]),
    ],
)
def test_each_bar_can_be_missed(tiny_run, change, missed):
    class Named:
        spec = type("spec", (), {"name": "openvino"})

    figures = {
        demo.FLOAT_NAME: stage(48.0, change.get("gain", 6.1), change.get("worst", 3.6)),
        demo.PRUNED_NAME: stage(change.get("pruned", 47.95)),
        demo.CONTROL_NAME: stage(48.0),
        "INT8, openvino": stage(change.get("int8", 47.95)),
    }
    times = {BASELINE: latency(1), "openvino, INT8": latency(change.get("ratio", 5.1))}
    checks = demo._checks(
        Run(tiny_run), figures, times, Named(), change.get("identical", True), real=True
    )
    failed = [check.what for check in checks if not check.passed and "MACs" not in check.what]
    assert len(failed) == len(missed)
    assert all(word in what for word, what in zip(missed, failed, strict=True))
