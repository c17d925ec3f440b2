"""The plot and the page, from a made-up sweep."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.transforms import Bbox

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.pareto.contenders import FLOAT32, INT8
from scanside.benchmarks.pareto.page import write_page
from scanside.benchmarks.pareto.plot import draw, place_labels
from scanside.benchmarks.pareto.records import sweep_figures
from scanside.benchmarks.pareto.sweep import Point, SweepReport


def point(name: str, precision: str, ms: float, psnr: float, **other: object) -> Point:
    given = {"drift": {}, "over_limit": False, "front": False, **other}
    return Point(
        name=f"{name}, {precision}",
        width=16,
        kept=0.5,
        macs=10**9,
        precision=precision,
        psnr={"20": psnr + 1, "60": psnr - 1},
        ssim={"20": 0.95, "60": 0.9},
        mean_psnr=psnr,
        p50=ms,
        p90=ms * 1.1,
        times=Estimate(20 / ms, 19 / ms, 21 / ms),
        rounds=[ms] * 5,
        **given,
    )


@pytest.fixture
def report() -> SweepReport:
    points = [
        point(
            "16 <wide>", INT8, 5, 40, front=True, drift={"20": -0.01, "60": -0.2}, over_limit=True
        ),
        point("16 wide", FLOAT32, 20, 40.2, front=True),
        point("8 wide", FLOAT32, 21, 39),
    ]
    return SweepReport(
        title="tiny, 10 steps",
        set="2 slices",
        data_range="4095 HU",
        level_unit="HU",
        levels=["20", "60"],
        untouched=33.0,
        engine="openvino 1",
        threads=2,
        frame="512 x 512",
        rounds=5,
        baseline="16 wide, float32",
        machine="a machine",
        date="2026-11-23",
        points=points,
        notes=["FP16 is left out: because"],
    )  # fmt: skip


def overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def test_labels_of_a_crowd_cover_neither_each_other_nor_a_point():
    figure = Figure(figsize=(9, 6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    across, up = rng.normal(0, 1, 18), rng.normal(0, 1, 18)
    axes.scatter(across, up)
    canvas.draw()
    boxes = place_labels(axes, across, up, [f"16 wide, {number}%" for number in range(18)])
    assert len(boxes) == 18
    for index, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[:index])
        for place in axes.transData.transform(np.stack([across, up], 1)):
            assert not box.contains(*place)
    # They are where the boxes say: what is drawn fills them.
    canvas.draw()
    drawn = [one for one in axes.texts if one.get_text()]
    for text, box in zip(drawn, boxes, strict=True):
        extent = text.get_window_extent() if text.arrow_patch is None else None
        assert extent is not None
        assert np.allclose(extent.extents, box.extents, atol=1.5)


def test_the_plot_names_every_point_and_where_it_was_measured(report):
    figure = draw(report)
    (axes,) = figure.axes
    texts = [one.get_text() for one in axes.texts if one.get_text()]
    assert texts == ["16 <wide>, over the gate's limit", "16 wide", "8 wide"]
    assert "4095 HU" in axes.get_ylabel()
    assert "512 x 512" in axes.get_xlabel()
    assert "a machine, 2026-11-23" in axes.get_title(loc="left")
    (front,) = (line for line in axes.lines if line.get_label().startswith("Pareto"))
    assert list(front.get_xdata()) == [5, 20]
    filled = {
        tuple(place): bool(colour[:3].sum() < 3)
        for scatter in axes.collections
        for place, colour in zip(scatter.get_offsets(), scatter.get_facecolors(), strict=True)
    }
    assert filled == {(5, 40): True, (20, 40.2): True, (21, 39): False}


def test_the_page_needs_nothing_else_and_escapes_names(report, tmp_path):
    page = write_page(tmp_path, report)
    text = page.read_text()
    assert "<svg" in text
    assert "src=" not in text
    assert "<wide>" not in text
    assert "16 &lt;wide&gt;, INT8 *" in text
    assert "-0.200" in text  # the level that lost most
    assert "FP16 is left out" in text
    picture = imread(tmp_path / "pareto.png")
    assert picture.shape[0] > 600
    assert picture.std() > 0.05


def test_the_record_has_times_ratios_and_quality(report):
    figures = {figure.name: figure for figure in sweep_figures(report)}
    assert len(figures) == 3 * (2 + 4)
    name = "network=16 <wide>, INT8"
    ratio = figures[name, "ratio"]
    assert (ratio.value, ratio.low, ratio.high) == (4, 19 / 5, 21 / 5)
    assert ratio.rounds == [4.0] * 5
    assert ratio.over == "16 wide, float32"
    assert figures[name, "p50"].rounds == [5.0] * 5
    assert figures["level=60 HU", name, "psnr"].value == 39
