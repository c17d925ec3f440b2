"""Half the resolution the way MR gets it: the outer half of k-space is not there.

Pixels of the coarse image lie where those of a scanner with half the matrix would: over two of the
fine ones, centred between them, so that both images have the same outer edges. Cutting the
discrete spectrum alone would put coarse pixel j onto fine pixel 2j, half a fine pixel off; the
missing half is a linear phase in k-space. The discrete transform takes an image for periodic: what
does not end alike on opposite sides rings there, as in a scanner.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
HALF_PIXEL = 0.5
"""Of the fine grid: coarse pixel j is centred on fine 2j + 1/2."""


def truncate(values: Array) -> Array:
    """(2R, 2C) -> (R, C): the inner half of k-space on either axis; the mean is kept.

    The coarse image's Nyquist frequency, which stands for two of the fine one's, takes the mean of
    both: a real image stays real. Raises ValueError for an odd side.
    """
    if values.shape[-2] % 2 or values.shape[-1] % 2:
        raise ValueError(f"{values.shape} has an odd side")
    return _halve(_halve(values.astype(np.float64), -1), -2).astype(np.float32)


def zero_fill(coarse: Array) -> Array:
    """(R, C) -> (2R, 2C): the coarse k-space with zeros around it, on the same grid.

    Sinc interpolation of a periodic image: what a scanner's zero-filling gives. `truncate` brings
    back all but the coarse Nyquist frequency.
    """
    return _double(_double(coarse.astype(np.float64), -1), -2).astype(np.float32)


def _halve(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    n = values.shape[axis]
    spectrum = np.fft.fft(values, axis=axis)
    frequency = np.fft.fftfreq(n)
    spectrum = spectrum * _along(np.exp(2j * np.pi * frequency * HALF_PIXEL), values.ndim, axis)
    spectrum = np.fft.fftshift(spectrum, axis)
    m = n // 2
    first = n // 2 - m // 2
    inner = np.take(spectrum, np.arange(first, first + m), axis)
    if m % 2 == 0:  # the first line is -Nyquist of the coarse grid; +Nyquist lies just outside
        edge = _at(inner.ndim, axis, 0)
        inner[edge] = (inner[edge] + np.take(spectrum, [first + m], axis)[edge]) / 2
    halved = np.fft.ifft(np.fft.ifftshift(inner, axis), axis=axis).real / 2
    return np.asarray(halved)


def _double(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    m = values.shape[axis]
    n = 2 * m
    spectrum = np.fft.fftshift(np.fft.fft(values, axis=axis), axis)
    shape = list(values.shape)
    shape[axis] = n
    filled = np.zeros(shape, dtype=np.complex128)
    first = n // 2 - m // 2
    filled[_at(values.ndim, axis, slice(first, first + m))] = spectrum
    if m % 2 == 0:  # half of the Nyquist line to either side
        edge = filled[_at(values.ndim, axis, slice(first, first + 1))] / 2
        filled[_at(values.ndim, axis, slice(first, first + 1))] = edge
        filled[_at(values.ndim, axis, slice(first + m, first + m + 1))] = edge
    filled = np.fft.ifftshift(filled, axis)
    phase = np.exp(-2j * np.pi * np.fft.fftfreq(n) * HALF_PIXEL)
    filled = filled * _along(phase, values.ndim, axis)
    return np.asarray(np.fft.ifft(filled, axis=axis).real * 2)


def _along(
    line: npt.NDArray[np.complex128], dimensions: int, axis: int
) -> npt.NDArray[np.complex128]:
    shape = [1] * dimensions
    shape[axis] = len(line)
    return line.reshape(shape)


def _at(dimensions: int, axis: int, where: int | slice) -> tuple[slice, ...]:
    place = where if isinstance(where, slice) else slice(where, where + 1)
    index = [slice(None)] * dimensions
    index[axis] = place
    return tuple(index)
