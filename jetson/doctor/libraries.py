"""Python, and what of JetPack's and of ours it loads."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.jetson.device.python import Library
from scanside.jetson.doctor.verdict import Case, Check, Line, softened
from scanside.runtime.platforms import dotted

_PROVISION = "sudo scanside device provision, from the offline package of this JetPack"
_UNKNOWN = "the JetPack is not known or supported"


def check_libraries(case: Case) -> Iterator[Check]:
    yield _python(case)
    yield _first(case)
    yield _bindings(case)
    yield _tensorrt(case)
    yield _numpy(case)
    yield _pycuda(case)


def _python(case: Case) -> Check:
    name, title = "python.system", "Python of the system"
    if case.release is None:
        return Line(name, title).not_judged(_UNKNOWN)
    line = Line(name, title, case.release.python)
    found = case.device.python.system
    step = "leave /usr/bin/python3 as Ubuntu ships it: sudo apt install --reinstall python3-minimal"
    if found is None:
        return line.red("/usr/bin/python3 does not answer", step)
    if dotted(found)[:2] == dotted(case.release.python):
        return line.green(found)
    return line.judged(softened("python" in case.release.uncertain), found, step)


def _first(case: Case) -> Check:
    line = Line("python.first", "First python3 on the PATH", "the system's")
    foreign = case.device.python.foreign
    if foreign is None:
        return line.green("the system's")
    return line.yellow(
        foreign,
        f"take {foreign.rpartition('/')[0]} off the PATH: conda's and pyenv's Python sees no "
        "TensorRT (Scanside takes /usr/bin/python3 by name)",
    )


def _bindings(case: Case) -> Check:
    line = Line("tensorrt.bindings", "TensorRT's bindings", "they load")
    found, package = case.device.python.tensorrt, case.device.packages.bindings
    if found.version:
        return line.green(found.version)
    return line.red(
        _failed(found, case) + (f", though python3-libnvinfer {package} is" if package else ""),
        "sudo apt install python3-libnvinfer, of JetPack's own packages; an environment needs "
        "--system-site-packages",
    )


def _tensorrt(case: Case) -> Check:
    name, title = "tensorrt.version", "TensorRT"
    found, packaged = case.device.python.tensorrt, case.device.packages.tensorrt
    if case.release is None:
        return Line(name, title).not_judged(_UNKNOWN)
    if found.version is None:
        return Line(name, title).not_judged("its bindings do not load")
    module = case.module.name if case.module else ""
    wanted = case.release.tensorrts(case.device.release.l4t or "", module)
    line = Line(name, title, " or ".join(wanted) + ", library and bindings alike")
    told = [found.version, *filter(None, (found.full, packaged))]
    # To three figures: NVIDIA's pages give the build to some and not to others.
    known = {dotted(one)[:3] for one in wanted}
    short = {dotted(one)[:3] for one in told}
    words = found.full or found.version
    if len(short) > 1:
        words = f"bindings {found.version}, library {found.full}, package {packaged or 'not told'}"
    if len(short) == 1 and short <= known:
        return line.green(words)
    return line.red(
        words, "install JetPack's own TensorRT: a plan of another one does not run, and none is "
        "built with it",
    )  # fmt: skip


def _numpy(case: Case) -> Check:
    name, title = "python.numpy", "NumPy"
    found = case.device.python.numpy
    if case.release is None:
        return Line(name, title).not_judged(_UNKNOWN)
    below = case.release.numpy_below
    line = Line(name, title, f"below {below}" if below else "it loads")
    if found.version is None:
        return _of_the_application(line, found, case)
    if below and dotted(found.version) >= dotted(below):
        return line.judged(
            softened("numpy_below" in case.release.uncertain),
            f"{found.version}; the bindings of TensorRT {case.release.tensorrt} were made for an "
            "older one",
            _PROVISION,
        )
    return line.green(found.version)


def _pycuda(case: Case) -> Check:
    line = Line("python.pycuda", "PyCUDA", "it loads")
    found = case.device.python.pycuda
    if found.version is None:
        return _of_the_application(line, found, case)
    return line.green(found.version)


def _of_the_application(line: Line, found: Library, case: Case) -> Check:
    """What the offline package brings: missing, it is missed only where that was installed."""
    if case.device.appliance.version is None:
        return line.not_judged("comes with the application, which is not installed yet")
    return line.red(_failed(found, case), _PROVISION)


def _failed(found: Library, case: Case) -> str:
    asked = case.device.python.asked or "/usr/bin/python3"
    return f"{'not installed' if found.missing else found.error}, says {asked}"
