"""The readers' page in a real browser, and what its source gives away."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dicoms import NAME, make_dicom, save

pytest.importorskip("jinja2", reason="needs the extra [workstation]")
from scanside.benchmarks.study.new import new_study
from scanside.benchmarks.study.records import Key, ShownPair, read_key, read_scores
from scanside.benchmarks.study.score import score

READY = "document.getElementById('views').ariaBusy === 'false'"
GREYS = """(() => {
  const canvas = document.getElementById("%s");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return canvas.width + ":" + Array.from({length: data.length / 4}, (_, at) => data[4 * at]).join();
})()"""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Eight CT cases, 512 x 512, int16 over all of -1024..3071 and beyond; B is A with noise."""
    random = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("study")
    ramp = np.linspace(-1500, 4000, 512 * 512).reshape(512, 512).astype(np.int16)
    for name in ("plain-zebra", "better-zebra"):
        (folder / name).mkdir()
    for index in range(8):
        a = np.roll(ramp, 37 * index, axis=0)
        b = a + random.normal(0, 30, a.shape).astype(np.int16)
        for name, words in (("plain-zebra", a), ("better-zebra", b)):
            dataset = make_dicom(
                words, PatientID=f"zebra-{index}", WindowCenter=40, WindowWidth=400
            )
            save(dataset, folder / name / f"zebra-{index}.dcm")
    new_study(
        folder / "plain-zebra",
        folder / "better-zebra",
        folder / "study.html",
        names=("plain-zebra", "better-zebra"),
        question="Which is <better>?",
        repeats=0.25,
        most=None,
    )
    return folder


def begin(browser, study: Path, reader: str, fresh: bool = True) -> Key:
    browser.open(study / "study.html")
    if fresh:
        browser.tell("localStorage.clear()")
    browser.click("#code")
    browser.type(reader)
    browser.press("Enter")
    browser.wait(READY)
    return read_key(study / "study.key.json")


def greys(browser, side: str) -> np.ndarray:
    """(H, W) uint8: what the canvas shows."""
    width, _, values = browser.tell(GREYS % side).partition(":")
    return np.array(values.split(","), np.uint8).reshape(-1, int(width))


def expected(words: np.ndarray, level: float, width: float, shape: tuple[int, int]) -> np.ndarray:
    """LINEAR_EXACT of DICOM PS3.3 C.11.2.1.3.2, image in the middle, black around."""
    share = np.clip((words.astype(float) - level) / width + 0.5, 0, 1)
    whole = np.zeros(shape, np.uint8)
    top, left = (int(np.floor((s - 512) / 2 + 0.5)) for s in shape)
    whole[top : top + 512, left : left + 512] = np.floor(255 * share + 0.5)
    return whole


def on_screen(browser, key: Key) -> ShownPair:
    """The pair on the screen, known by its answer: the page tells its name nowhere else."""
    browser.press("0")
    stored = browser.tell("Object.values(localStorage)[0]")
    return next(one for one in key.pairs if one.pair == msgspec.json.decode(stored)[-1][0])


def sides(study: Path, key: Key, shown: ShownPair) -> dict[str, np.ndarray]:
    from scanside.benchmarks.study.pictures import read_picture

    a, b = (
        read_picture(study / name / key.cases[shown.case].name).values for name in (key.a, key.b)
    )
    return {"left": b, "right": a} if shown.b_side == "left" else {"left": a, "right": b}


def test_both_images_are_shown_to_the_last_bit_under_one_window(browser, study):
    key = begin(browser, study, "R1")
    pictures = sides(study, key, on_screen(browser, key))
    browser.press("a")
    shown = {side: greys(browser, side) for side in pictures}
    assert min(shown["left"].shape) >= 512
    for side, words in pictures.items():
        assert np.array_equal(shown[side], expected(words, 40, 400, shown[side].shape)), side
    browser.press("w", "w", "d")
    width = 400 * (1 / 1.1) * (1 / 1.1)
    level = 40 + 0.05 * width
    for side, words in pictures.items():
        narrowed = greys(browser, side)
        assert np.array_equal(narrowed, expected(words, level, width, narrowed.shape)), side
        assert not np.array_equal(narrowed, shown[side])
    browser.press("r")
    assert np.array_equal(greys(browser, "left"), shown["left"])
    assert browser.complaints == []


def test_zoom_move_and_window_by_mouse_and_keys_hold_for_both(browser, study):
    begin(browser, study, "R1")
    x, y = browser.tell(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        "(document.getElementById('left').getBoundingClientRect())"
    )
    seen = [greys(browser, "left")]
    zoom = "Number(document.getElementById('zoom').textContent.split(' ')[1])"
    fitted = browser.tell(zoom)

    def check_changed():
        left, right = (greys(browser, side).astype(int) for side in ("left", "right"))
        assert not any(np.array_equal(left, before) for before in seen)
        # One is the other with 30 HU of noise; a view of their own would differ far more.
        assert np.mean(np.abs(left - right)) < 12
        seen.append(left)

    browser.mouse("mouseWheel", x + 90, y + 50, deltaX=0, deltaY=-100)
    check_changed()
    assert browser.tell(zoom) == pytest.approx(1.15 * fitted, abs=0.01)
    browser.drag((x, y), (60, 40), "left")
    check_changed()
    browser.drag((x, y), (80, 20), "right")
    check_changed()
    browser.press("+")
    check_changed()
    browser.press("ArrowLeft", shift=True)
    check_changed()
    browser.press("f", "r")
    assert np.array_equal(greys(browser, "left"), seen[0])


def test_the_wheel_zooms_about_the_pointer(browser, study):
    begin(browser, study, "R1")
    left, top, width, height = browser.tell(
        "(({x, y, width, height}) => [x + 1, y + 1, width - 2, height - 2])"
        "(document.getElementById('left').getBoundingClientRect())"
    )
    for _ in range(6):  # until all of the image is white and only the surround is black
        browser.drag((left + 50, top + 400), (0, -350), "right")
    pointer = np.array([0.7 * width, 0.4 * height])

    def place() -> np.ndarray:
        """Where in the image the pointer is: x and y as shares of its sides."""
        down, across = np.nonzero(greys(browser, "left"))
        corner = np.array([across.min(), down.min()])
        return (pointer - corner) / np.array([np.ptp(across) + 1, np.ptp(down) + 1])

    before = place()
    for _ in range(5):
        browser.mouse("mouseWheel", left + pointer[0], top + pointer[1], deltaX=0, deltaY=100)
    assert place() == pytest.approx(before, abs=0.01)


def test_answers_by_key_are_kept_saved_and_scored(browser, study):
    key = begin(browser, study, "R2")
    right = {one.pair: 1 if one.b_side == "right" else -1 for one in key.pairs}
    position = "document.getElementById('position').textContent"
    assert len(key.pairs) == 10
    for number in range(1, 11):
        assert browser.tell(position) == f"Pair {number} of 10"
        browser.wait(READY)
        shown = on_screen(browser, key)
        browser.press("2" if right[shown.pair] > 0 else "1")
        if number % 2:  # much better
            browser.press("2" if right[shown.pair] > 0 else "1")
        pressed = browser.tell(
            "[...document.querySelectorAll('[aria-pressed=true]')].map(e => e.textContent)"
        )
        assert len(pressed) == 1
        assert ("much" in pressed[0]) == (number % 2 == 1)
        browser.press("ArrowRight")
    assert "All pairs are answered" in browser.tell("document.getElementById('status').textContent")
    browser.click("#save")
    scores = read_scores(browser.downloaded("scores-R2.json"), key)
    assert len(scores.answers) == 10
    figures = score(key, [scores])
    assert figures.pooled.preference_b == 1
    assert (figures.readers[0].again, figures.readers[0].same) == (2, 2)
    assert browser.complaints == []


def test_a_reader_goes_on_in_the_same_browser_and_from_a_file(browser, study):
    begin(browser, study, "R3")
    browser.press("1", "ArrowRight")
    browser.wait(READY)
    browser.click("[data-preference='2']")
    browser.click("#save")
    saved = browser.downloaded("scores-R3.json")
    answered = "document.getElementById('answered').textContent"
    begin(browser, study, "R3", fresh=False)
    assert browser.tell(answered) == "2 answered"
    begin(browser, study, "R4", fresh=False)
    assert browser.tell(answered) == "0 answered"

    browser.open(study / "study.html")
    browser.tell("localStorage.clear()")
    changed = study / "changed.json"
    changed.write_text(saved.read_text().replace('"preference": 2', '"preference": 1'))
    browser.choose_file("#load", changed)
    browser.wait("document.getElementById('startstatus').textContent.includes('no scores')")
    browser.choose_file("#load", saved)
    browser.wait("document.getElementById('position').textContent === 'Pair 3 of 10'")
    assert browser.tell(answered) == "2 answered"
    assert browser.tell("document.getElementById('reader').textContent") == "Reader R3"


def test_readers_see_different_orders_and_repeats_stay_apart(browser, study):
    orders = []
    for reader in ("R1", "R2"):
        key = begin(browser, study, reader)
        order = []
        for _ in key.pairs:
            browser.wait(READY)
            order.append(on_screen(browser, key))
            browser.press("ArrowRight")
        orders.append(order)
        cases = [one.case for one in order]
        for again in (one.case for one in order if one.repeat):
            first = cases.index(again)
            assert cases.index(again, first + 1) - first > len(key.cases) // 4
    assert orders[0] != orders[1]
    assert {one.pair for one in orders[0]} == {one.pair for one in orders[1]}


def test_help_and_focus_by_keyboard(browser, study):
    begin(browser, study, "R1")
    browser.press("?")
    assert browser.tell("document.getElementById('keys').open")
    browser.press("1")  # no answer behind the help
    browser.press("Enter")
    browser.wait("!document.getElementById('keys').open")
    assert browser.tell("document.getElementById('answered').textContent") == "0 answered"
    named = "[...document.querySelectorAll('button, input, select, canvas')].every(e => "
    named += "e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)"
    assert browser.tell(named)


def test_the_page_can_reach_no_network(browser, study):
    browser.open(study / "study.html")
    refused = "fetch('data:,').then(() => false, () => true)"
    assert browser.tell(refused)
    browser.complaints.clear()
    assert not re.search(r"https?://", (study / "study.html").read_text())


def test_the_source_tells_no_side_no_name_and_no_patient(study):
    page = (study / "study.html").read_text()
    key = read_key(study / "study.key.json")
    for secret in ("zebra", NAME, key.seed, '"b_side"', 'repeat"'):
        assert secret.lower() not in page.lower(), secret
    assert "&lt;better&gt;" in page
    # What is told of a pair is told of both its sides at once; images stand by identifier.
    data = msgspec.json.decode(re.search(r'id="study">(.*?)</script>', page)[1])
    fields = {"pair", "left", "right", "rows", "columns", "slope", "intercept", "inverted"}
    fields |= {"level", "width", "ct"}
    pairs = [one for block in data["blocks"] for one in block]
    assert all(set(one) == fields for one in pairs)
    images = re.findall(r'<script type="text/plain" id="(\w{16})">', page)
    assert images == sorted(images)
    assert {one[side] for one in pairs for side in ("left", "right")} == set(images)


def test_identifiers_of_a_and_b_come_in_either_order():
    from scanside.benchmarks.study.page import Embedded, render
    from scanside.benchmarks.study.plan import plan

    cases = [Embedded(f"A{index}", f"B{index}", {}) for index in range(400)]
    page, shown = render("0" * 16, "?", cases, plan(400, 0, 1))
    texts = re.findall(r'<script type="text/plain" id="\w{16}">(\w+)</script>', page)
    place = {text: index for index, text in enumerate(texts)}
    before = sum(place[f"A{index}"] < place[f"B{index}"] for index in range(400))
    assert 140 < before < 260  # six standard deviations about 200
    assert sum(one.b_side == "left" for one in shown) == 200
