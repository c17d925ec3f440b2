"""Tiled equals untiled, over a real convolutional network with pooling, at every awkward size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from networks import MULTIPLE, RECEPTIVE_FIELD, make_unet
from scanside.runtime.errors import EngineError
from scanside.runtime.tiling import MINIMUM_SIDE, Float, pad, run_tiled


@pytest.fixture(scope="module", params=[1, 2])
def unet(request: pytest.FixtureRequest) -> tuple[Callable[[Float], Float], int]:
    scale = request.param
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        make_unet(scale), options, providers=["CPUExecutionProvider"]
    )
    return lambda image: session.run(None, {"image": image})[0], scale


@pytest.mark.parametrize("shape", [(65, 33), (68, 64), (129, 70), (200, 61), (61, 203), (7, 150)])
def test_tiled_equals_untiled(
    unet: tuple[Callable[[Float], Float], int], shape: tuple[int, int]
) -> None:
    network, scale = unet
    image = np.random.default_rng(1).random(shape, dtype=np.float32)
    settings = {"multiple_of": MULTIPLE, "receptive_field": RECEPTIVE_FIELD, "scale": scale}
    whole = run_tiled(network, image, tile=1024, **settings)
    seen: list[tuple[int, ...]] = []

    def counting(piece: Float) -> Float:
        seen.append(piece.shape)
        return network(piece)

    tiled = run_tiled(counting, image, tile=62, **settings)

    assert len(seen) > 1
    assert len(set(seen)) == 1, "every tile has one shape, so that it is compiled once"
    assert max(seen[0]) <= 64
    assert tiled.shape == (shape[0] * scale, shape[1] * scale)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_too_little_overlap_shows(unet: tuple[Callable[[Float], Float], int]) -> None:
    """The test above can fail: the same tiles with half the overlap differ."""
    network, scale = unet
    image = np.random.default_rng(1).random((200, 61), dtype=np.float32)
    whole = run_tiled(
        network, image, tile=1024, multiple_of=4, receptive_field=RECEPTIVE_FIELD, scale=scale
    )
    tiled = run_tiled(network, image, tile=62, multiple_of=4, receptive_field=4, scale=scale)
    assert np.abs(tiled - whole).max() > 1e-3


def test_a_tile_smaller_than_the_receptive_field_is_raised(
    unet: tuple[Callable[[Float], Float], int],
) -> None:
    network, scale = unet
    image = np.random.default_rng(2).random((90, 50), dtype=np.float32)
    settings = {"multiple_of": MULTIPLE, "receptive_field": RECEPTIVE_FIELD, "scale": scale}
    whole = run_tiled(network, image, tile=1024, **settings)
    np.testing.assert_allclose(run_tiled(network, image, tile=8, **settings), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "padded"), [((1, 1), (32, 32)), ((33, 61), (36, 64)), ((64, 40), (64, 40))]
)
def test_padding_goes_to_a_multiple_and_a_minimum(
    shape: tuple[int, int], padded: tuple[int, int]
) -> None:
    assert MINIMUM_SIDE == 32
    image = np.random.default_rng(3).random(shape, dtype=np.float32)
    out = pad(image, 4)
    assert out.shape == padded
    np.testing.assert_array_equal(out[: shape[0], : shape[1]], image)


def test_padding_reflects_and_takes_the_edge_where_it_is_too_short() -> None:
    image = np.zeros((35, 20), dtype=np.float32)
    image[:, 10:] = np.arange(10, 20)
    out = pad(image, 4)
    assert out.shape == (36, 32)
    assert out[0, 20:].tolist() == [18, 17, 16, 15, 14, 13, 12, 11, 10, 0, 0, 0]
    np.testing.assert_array_equal(out[35, :20], image[33])
    short = pad(image[:, 17:], 4)
    assert (short[:, 3:] == 19).all()


def test_a_network_of_another_scale_is_an_engine_error() -> None:
    image = np.zeros((40, 40), dtype=np.float32)
    with pytest.raises(EngineError, match="the network gave"):
        run_tiled(lambda x: x, image, tile=64, multiple_of=1, receptive_field=1, scale=2)
