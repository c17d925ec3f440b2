"""kernels.cu as C++ on the CPU: the very source, over a few definitions that stand for CUDA's.

Threads run one after the other, and the intrinsics are the CPU's own operations, which round once
too. What this proves is the source's arithmetic, its indices and the layout of its arguments.
It proves nothing of what only a GPU has: its division, races, memory, the driver's translation.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from scanside.runtime.engines.tensorrt.kernels import SOURCE

SHIM = """
#include <cmath>
#include <cstddef>
#include <cstring>
#define __global__
#define __device__
struct Three { unsigned x, y, z; };
static thread_local Three blockIdx, blockDim, threadIdx;
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
"""
LAUNCH = """
// As a driver does: a kernel by its name, and its arguments as they lie in one piece of memory.
template <typename Arguments> static size_t end_of() {
    return offsetof(Arguments, tile) + sizeof(Tile);  // without what C++ adds at a struct's end
}
template <typename Arguments, typename Kernel>
static void start(const unsigned *grid, const unsigned *block, const void *raw, Kernel kernel) {
    Arguments arguments;
    memcpy(&arguments, raw, end_of<Arguments>());
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
    for (threadIdx.z = 0; threadIdx.z < block[2]; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x) kernel(arguments);
}
template <typename Word> struct Unit { const Word *words; float *image; Frame frame; Tile tile; };
template <typename Word> struct Apply {
    const Word *words; const float *residual; Word *out; int *flaw; Frame frame; Tile tile;
};
template <typename Word> static size_t size_of(const char *name) {
    return *name == 'u' ? end_of<Unit<Word>>() : end_of<Apply<Word>>();
}
typedef unsigned char Byte;
typedef unsigned short Short;
extern "C" int launch(const char *name, const unsigned *grid, const unsigned *block,
                      const void *raw, size_t size) {
    bool wide = name[strlen(name) - 1] == '6';
    if (size != (wide ? size_of<Short>(name) : size_of<Byte>(name))) return 1;
    if (!strcmp(name, "unit8"))
        start<Unit<Byte>>(grid, block, raw,
                          [](Unit<Byte> &a) { unit8(a.words, a.image, a.frame, a.tile); });
    else if (!strcmp(name, "unit16"))
        start<Unit<Short>>(grid, block, raw,
                           [](Unit<Short> &a) { unit16(a.words, a.image, a.frame, a.tile); });
    else if (!strcmp(name, "apply8"))
        start<Apply<Byte>>(grid, block, raw, [](Apply<Byte> &a) {
            apply8(a.words, a.residual, a.out, a.flaw, a.frame, a.tile);
        });
    else if (!strcmp(name, "apply16"))
        start<Apply<Short>>(grid, block, raw, [](Apply<Short> &a) {
            apply16(a.words, a.residual, a.out, a.flaw, a.frame, a.tile);
        });
    else return 2;
    return 0;
}
"""


def build(
    folder: Path, source: str | None = None, more: str = "", link: tuple[str, ...] = ()
) -> Path:
    """A shared library with `launch`. source: other text than kernels.cu. more: C++ to add."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels with")
    code, library = folder / "kernels.cpp", folder / "kernels.so"
    code.write_text(SHIM + (source or SOURCE.read_text()) + LAUNCH + more)
    # Nothing fused: GCC would, where the machine has the instruction.
    command = ["g++", "-std=c++14", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-w"]
    subprocess.run([*command, "-o", library, code, *link], check=True, timeout=120)
    return library


def load(library: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(library))
