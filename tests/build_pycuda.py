"""Compiles pycuda for the tests, where there is no CUDA: `python tests/build_pycuda.py FOLDER`.

pycuda has no wheels. It takes some minutes, a C++ compiler and the network; CUDA's headers come
from PyPI, and a library that only has the names of the driver's calls stands for libcuda. Then:
SCANSIDE_PYCUDA=FOLDER pytest tests/runtime/tensorrt_engine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from wheels import fetch

SOURCE = "pycuda==2026.1"
HEADERS = ("nvidia-cuda-runtime-cu12==12.6.77", "nvidia-cuda-nvcc-cu12==12.6.77")
CONFIGURATION = """
CUDA_ENABLE_CURAND = False
CUDA_ENABLE_GL = False
CUDA_ROOT = {root!r}
CUDA_INC_DIR = {headers!r}
CUDADRV_LIB_DIR = [{stub!r}]
CUDADRV_LIBNAME = ["cuda"]
CUDART_LIB_DIR = [{stub!r}]
CUDART_LIBNAME = ["cuda"]
USE_SHIPPED_BOOST = True
CXXFLAGS = []
LDFLAGS = []
"""


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        venv.create(work / "venv", with_pip=True)
        pip = [str(work / "venv" / "bin" / "python"), "-m", "pip"]
        headers = []
        for number, wheel in enumerate(HEADERS):
            place = work / f"headers{number}"
            place.mkdir()
            found = fetch(wheel, place)
            if found is None:
                sys.exit(f"{wheel} cannot be downloaded here")
            headers += [str(path.parent) for path in found.rglob("cuda.h")]
            headers += [str(path.parent.parent) for path in found.rglob("crt/host_defines.h")]
        _stub(work, headers)
        subprocess.run([*pip, "install", "--quiet", "setuptools", "wheel", "numpy"], check=True)
        command = ["download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary=:all:", "--dest", str(work), SOURCE]
        subprocess.run([*pip, *command], check=True)
        with tarfile.open(next(work.glob("pycuda-*.tar.gz"))) as archive:
            archive.extractall(work, filter="data")
        tree = next(path for path in work.glob("pycuda-*") if path.is_dir())
        text = CONFIGURATION.format(root=str(work), headers=headers, stub=str(work))
        (tree / "siteconf.py").write_text(text)
        install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
        subprocess.run([*pip, *install, str(folder), str(tree)], check=True)
        # What it imports beside NumPy, which the tests have.
        others = ["pytools", "platformdirs", "mako"]
        subprocess.run([*pip, "install", "--quiet", "--target", str(folder), *others], check=True)


def _stub(work: Path, headers: list[str]) -> None:
    """libcuda.so with every name that cuda.h declares: for the linker alone."""
    include = [f"-I{path}" for path in headers]
    command = ["gcc", "-E", *include, "-include", "cuda.h", "-include", "cudaProfiler.h"]
    done = subprocess.run(
        [*command, "-x", "c", "/dev/null"], capture_output=True, text=True, check=True
    )
    names = sorted(set(re.findall(r"\b(cu[A-Z]\w*)\s*\(", done.stdout)))
    source = work / "stub.c"
    source.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in names))
    soname = "-Wl,-soname,libcuda.so.1"
    library = ["gcc", "-shared", "-fPIC", "-w", soname, "-o", work / "libcuda.so", source]
    subprocess.run(library, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
