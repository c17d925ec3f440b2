"""A Jetson's state around a run, read from fake devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_jetsons.tree import make_jetson
from scanside.benchmarks.latency.device import DeviceWatch
from scanside.jetson.machine import Machine


def watched(root: Path, *, rounds: int = 3, change: object = None) -> DeviceWatch:
    watch = DeviceWatch(Machine(root))
    watch.start()
    for _ in range(rounds):
        watch.during()
    if callable(change):
        change()
        watch.during()
    watch.stop()
    return watch


def test_mode_clocks_temperature_and_throttling_are_told(tmp_path: Path):
    watch = watched(make_jetson(tmp_path / "root", mode="15W", celsius=51.5))
    words = watch.words()
    assert watch.there
    assert words["power mode"] == "15W"
    assert "MHz" in words["GPU clock"]
    assert " of " in words["GPU clock"]
    assert "MHz" in words["CPU clock"]
    assert words["temperature"].startswith("51.5 °C")
    assert words["throttling"] == "none seen"
    assert "mW before" in words["power"]
    assert words["standing"] == "not verified on hardware"
    assert not watch.throttled


def test_what_throttles_is_named_and_counted(tmp_path: Path):
    watch = watched(make_jetson(tmp_path / "root", throttling=True))
    assert watch.throttled
    assert watch.words()["throttling"] != "none seen"
    (figure,) = [one for one in watch.figures() if one.metric == "throttling devices"]
    assert figure.value >= 1
    assert len(figure.rounds) == 3
    assert figure.better == "neither"


def test_it_gets_hotter_in_the_course_of_the_run(tmp_path: Path):
    root = make_jetson(tmp_path / "root", celsius=40.0)

    def heat() -> None:
        for zone in (root / "sys/class/thermal").glob("thermal_zone*/temp"):
            if zone.read_text().strip() == "40000":
                zone.write_text("66000\n")

    watch = watched(root, change=heat)
    assert watch.words()["temperature"].startswith("40 to 66 °C")
    (figure,) = [one for one in watch.figures() if one.metric == "hottest zone"]
    assert figure.rounds == [40.0, 40.0, 40.0, 66.0]


def test_over_current_since_the_start_of_the_run_counts(tmp_path: Path):
    root = make_jetson(tmp_path / "root", over_current=7)
    counters = list((root / "sys/class/hwmon").glob("*/oc*_event_cnt"))
    assert counters
    watch = watched(root, change=lambda: counters[0].write_text("9\n"))
    assert int(watch.words()["over-current events"]) == 2
    assert watch.throttled


def test_a_device_whose_tools_hang_is_told_as_far_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scanside.jetson.device.power.QUERY_S", 0.2)
    root = make_jetson(tmp_path / "root", scripts={"nvpmodel": "sleep 5", "tegrastats": "exit 1"})
    (root / "var/lib/nvpmodel/status").unlink(missing_ok=True)
    words = watched(root).words()
    assert words["power mode"] == "nvpmodel did not answer"
    assert words["power"] == "not told before, not told after"


def test_another_machine_has_nothing_of_that(tmp_path: Path):
    watch = watched(tmp_path)
    assert not watch.there
    assert watch.words() == {}
    assert watch.figures() == []
