"""PNG and JPEG: grey of 8 and 16 bits, patients by NIH's index or by name."""

import numpy as np
import pytest
from PIL import Image

from scanside.runtime.errors import ImageError
from scanside.train.data.patient import patient_key
from scanside.train.data.pictures import find_index, read_picture

XRAY = ("DX", "CR")


def grey(dtype=np.uint8, top=255, shape=(40, 50)):
    pixels = np.random.default_rng(0).integers(0, top, shape).astype(dtype)
    pixels[0, 0] = top
    return pixels


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def reason(path, modality=XRAY, smallest=16, index=None):
    with pytest.raises(ImageError) as caught:
        read_picture(path, modality, smallest, index)
    return caught.value.reason


def test_eight_bits(tmp_path):
    pixels = grey()
    piece = read_picture(save(tmp_path / "00000013_002.png", pixels), XRAY, 16, None)
    np.testing.assert_array_equal(piece.values, pixels)
    assert (piece.values.dtype, piece.bits, piece.limits) == (np.uint16, 8, (0, 255))
    assert piece.patient == patient_key("13")


def test_sixteen_bits_count_as_many_as_are_used(tmp_path):
    for top, bits in ((65535, 16), (4000, 12), (100, 8)):
        pixels = grey(np.uint16, top)
        piece = read_picture(save(tmp_path / "a_1.png", pixels), XRAY, 16, None)
        np.testing.assert_array_equal(piece.values, pixels)
        assert piece.bits == bits


def test_jpeg(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    piece = read_picture(save(tmp_path / "a.jpeg", smooth), XRAY, 16, None)
    assert np.abs(piece.values.astype(int) - smooth).max() < 5


@pytest.mark.parametrize("place", [".", "images", "images_001/images"])
def test_an_index_beside_or_above_gives_the_patient(tmp_path, place):
    path = save(tmp_path / place / "00000099_000.png", grey())
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID\n"
        "00000099_000.png,No Finding,0,42\n00000099_001.png,No Finding,1,42\n"
    )
    index = find_index(path.parent)
    assert index is not None
    assert read_picture(path, XRAY, 16, index).patient == patient_key("42")
    stranger = save(path.with_name("00000100_000.png"), grey())
    assert reason(stranger, index=index) == "not in the index"


def test_no_index(tmp_path):
    (tmp_path / "rubbish.csv").write_bytes(bytes(range(256)))
    (tmp_path / "empty.csv").write_bytes(b"")
    assert find_index(tmp_path) is None


def test_what_is_not_trained_on(tmp_path):
    colour = save(tmp_path / "colour.png", grey(shape=(40, 50, 3)))
    assert reason(colour) == "colour"
    assert reason(save(tmp_path / "colour.jpg", grey(shape=(40, 50, 3)))) == "colour"
    assert reason(save(tmp_path / "alpha.png", grey(shape=(40, 50, 4)))) == "colour"
    path = save(tmp_path / "grey.png", grey())
    assert reason(path, ("CT",)) == "another modality"
    assert reason(path, smallest=41) == "too small"
    assert reason(save(tmp_path / "flat.png", np.full((40, 50), 7, np.uint8))) == "constant"


def test_damage_is_a_typed_refusal(tmp_path):
    whole = save(tmp_path / "whole.png", grey()).read_bytes()
    for name, content in {"cut.png": whole[:-600], "text.png": b"Zebra", "no.jpg": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert reason(tmp_path / name) == "damaged"
