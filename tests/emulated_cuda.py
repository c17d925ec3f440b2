"""A CUDA driver for the genuine pycuda and cuda-bindings: libcuda.so.1 over the CPU's memory, which
runs the kernels that `cuda_on_cpu` compiles.

It takes what the packages hand to a driver: kernel arguments as they were packed, streams, handles.
Calls that the engine does not need answer CUDA_ERROR_NOT_SUPPORTED. It proves how the packages are
called, and nothing about a GPU.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cuda_on_cpu import build

DRIVER = r"""
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <vector>
#define CALL extern "C" int
typedef void *Handle;
typedef unsigned long long Address;
static const unsigned STREAM = 1;  // CU_STREAM_NON_BLOCKING
static int depth, live, capturing;
static void trace(const char *name) {
    if (const char *path = getenv("EMULATED_TRACE")) {
        FILE *file = fopen(path, "a");
        fprintf(file, "%s\n", name);
        fclose(file);
    }
}
#define IN_CONTEXT do { trace(__func__); if (!depth) return 201; } while (0)
CALL cuInit(unsigned flags) { return flags ? 1 : 0; }
CALL cuDriverGetVersion(int *version) { *version = 13000; return 0; }
CALL cuDeviceGetCount(int *count) { *count = 1; return 0; }
CALL cuDeviceGet(int *device, int ordinal) { *device = 0; return ordinal ? 101 : 0; }
CALL cuDevicePrimaryCtxRetain(Handle *context, int) { *context = &depth; ++live; return 0; }
CALL cuDevicePrimaryCtxRelease_v2(int) { --live; trace(__func__); return 0; }
CALL cuCtxGetCurrent(Handle *context) { *context = depth ? &depth : 0; return 0; }
CALL cuCtxGetDevice(int *device) { *device = 0; return depth ? 0 : 201; }
CALL cuCtxPushCurrent_v2(Handle) { ++depth; return 0; }
CALL cuCtxPopCurrent_v2(Handle *context) {
    if (!depth) return 201;
    --depth; *context = &depth; return 0;
}
CALL cuCtxSynchronize() { return 0; }
CALL cuStreamCreate(Handle *stream, unsigned flags) {
    IN_CONTEXT; *stream = malloc(1); return flags == STREAM ? 0 : 1;
}
CALL cuStreamSynchronize(Handle stream) { IN_CONTEXT; return stream && !capturing ? 0 : 900; }
CALL cuStreamDestroy_v2(Handle stream) { trace(__func__); free(stream); return 0; }
CALL cuMemHostAlloc(Handle *memory, size_t size, unsigned flags) {
    IN_CONTEXT; *memory = malloc(size); return flags == 2 ? 0 : 1;
}
CALL cuMemHostGetDevicePointer_v2(Address *there, Handle memory, unsigned) {
    IN_CONTEXT; *there = (Address)memory; return 0;
}
CALL cuMemFreeHost(Handle memory) { trace(__func__); free(memory); return 0; }
CALL cuMemAlloc_v2(Address *there, size_t size) {
    IN_CONTEXT; *there = (Address)malloc(size); return 0;
}
CALL cuMemFree_v2(Address there) { trace(__func__); free((void *)there); return 0; }
CALL cuMemcpyHtoDAsync_v2(Address there, const void *here, size_t size, Handle stream) {
    IN_CONTEXT; memcpy((void *)there, here, size); return stream ? 0 : 1;
}
CALL cuModuleLoadDataEx(Handle *module, const char *image, unsigned, void *, void *) {
    IN_CONTEXT; *module = malloc(1); return strstr(image, ".entry apply16(") ? 0 : 218;
}
CALL cuModuleUnload(Handle module) { trace(__func__); free(module); return 0; }
CALL cuModuleGetFunction(Handle *function, Handle, const char *name) {
    IN_CONTEXT; *function = strdup(name); return 0;
}
CALL cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                    unsigned by, unsigned bz, unsigned shared, Handle stream,
                    void **each, void **extra) {
    IN_CONTEXT;
    unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    const void *raw = 0; size_t size = 0;
    for (; extra && *extra; extra += 2) {
        if ((uintptr_t)extra[0] == 1) raw = extra[1];
        if ((uintptr_t)extra[0] == 2) size = *(size_t *)extra[1];
    }
    if (each || shared || !stream || bx * by * bz > 1024) return 1;
    return launch((const char *)function, grid, block, raw, size) ? 1 : 0;
}
// What the double of TensorRT queues: done at once, or recorded.
typedef void (*Work)();
typedef std::vector<Work> Graph;
static Graph *recorded;
extern "C" void queue_work(Work work) { capturing ? recorded->push_back(work) : work(); }
CALL cuStreamBeginCapture_v2(Handle stream, int mode) {
    IN_CONTEXT; capturing = 1; recorded = new Graph; return stream && mode == 1 ? 0 : 1;
}
CALL cuStreamEndCapture(Handle, Handle *graph) {
    IN_CONTEXT; capturing = 0; *graph = recorded; return 0;
}
CALL cuGraphInstantiateWithFlags(Handle *runnable, Handle graph, Address flags) {
    IN_CONTEXT; *runnable = new Graph(*(Graph *)graph); return flags ? 1 : 0;
}
CALL cuGraphLaunch(Handle runnable, Handle stream) {
    IN_CONTEXT;
    for (Work work : *(Graph *)runnable) work();
    return stream ? 0 : 1;
}
CALL cuGraphExecDestroy(Handle runnable) { IN_CONTEXT; delete (Graph *)runnable; return 0; }
CALL cuGraphDestroy(Handle graph) { IN_CONTEXT; delete (Graph *)graph; return 0; }
CALL cuFuncSetBlockShape(Handle, int, int, int) { return 0; }
CALL cuGetErrorString(int, const char **text) { *text = "an error"; return 0; }
CALL cuGetErrorName(int, const char **text) { *text = "ERROR"; return 0; }
// cuda-bindings asks for its functions by name, and gets the newest of that name.
CALL cuGetProcAddress_v2(const char *name, void **found, int, uint64_t, int *how) {
    char newer[256];
    snprintf(newer, sizeof newer, "%s_v2", name);
    *found = dlsym(RTLD_DEFAULT, newer);
    if (!*found && !strcmp(name, "cuGraphInstantiate")) name = "cuGraphInstantiateWithFlags";
    if (!*found) *found = dlsym(RTLD_DEFAULT, name);
    if (how) *how = *found ? 0 : 1;
    return *found ? 0 : 500;
}
"""


def make_driver(folder: Path, extension: Path | None = None) -> Path:
    """The folder with libcuda.so.1. extension: pycuda's _driver, every call of which must be there
    for it to load."""
    folder.mkdir()
    command = ["nm", "-D", "--undefined-only", *([extension] if extension else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=bool(extension))
    wanted = set(re.findall(r"\b(cu[A-Z]\w+)", done.stdout))
    there = set(re.findall(r"^CALL (\w+)", DRIVER, re.MULTILINE))
    rest = "".join(
        f'extern "C" int {name}(...) {{ trace("{name}"); return 801; }}\n'
        for name in sorted(wanted - there)
    )
    library = build(folder, more=DRIVER + rest, link=("-ldl", "-Wl,-soname,libcuda.so.1"))
    library.rename(folder / "libcuda.so.1")
    (folder / "libcuda.so").symlink_to("libcuda.so.1")
    return folder
