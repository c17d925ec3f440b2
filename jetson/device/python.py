"""The device's Python and its libraries, each asked in a child process, which may crash or hang.

Asked is the appliance's own interpreter where it is installed, else the system's: TensorRT's
bindings come from JetPack's package into /usr/lib/python3/dist-packages, and the appliance's
environment sees those.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from scanside.jetson import layout
from scanside.jetson.machine import Machine

SYSTEM = "/usr/bin/python3"
LOAD_S = 30.0
"""The first import of TensorRT from an SD card takes many seconds."""
_SYSTEM_FOLDERS = ("/usr/bin", "/bin")
# Each prints one line of JSON. They run on the device's Python, which may be any from 3.6 on.
_QUESTIONS = {
    "python": "tell(version='%d.%d.%d' % sys.version_info[:3])",
    "numpy": "import numpy; tell(version=numpy.__version__)",
    "tensorrt": """
import ctypes, tensorrt
full = tensorrt.__version__
try:
    library = ctypes.CDLL('libnvinfer.so.' + full.split('.')[0])
    parts = ('Major', 'Minor', 'Patch', 'Build')
    full = '.'.join(str(getattr(library, 'getInferLib%sVersion' % one)()) for one in parts)
except (OSError, AttributeError):
    pass
tell(version=tensorrt.__version__, full=full)
""",
    "pycuda": "import pycuda, pycuda.driver; tell(version=pycuda.VERSION_TEXT)",
    "cuda": """
import ctypes
cuda = ctypes.CDLL('libcuda.so.1')
code = cuda.cuInit(0)
if code:
    tell(code=code)
else:
    count, device, major, minor, version = (ctypes.c_int() for _ in range(5))
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    cuda.cuDriverGetVersion(ctypes.byref(version))
    if count.value:
        cuda.cuDeviceGet(ctypes.byref(device), 0)
        cuda.cuDeviceGetName(name, 256, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    tell(code=0, count=count.value, gpu=name.value.decode('ascii', 'replace'),
         capability='%d.%d' % (major.value, minor.value), memory_bytes=memory.value,
         version='%d.%d' % (version.value // 1000, version.value % 1000 // 10))
""",
}
_FRAME = """
import json, sys
def tell(**found):
    print('\\n' + json.dumps(found))
try:
    exec({question!r})
except BaseException as error:
    name = type(error).__name__
    tell(missing=name == 'ModuleNotFoundError', error=name)
"""


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """What a child told. version: where it loads. full: TensorRT's, with its build. error: in two
    words why it does not load. missing: it is not installed at all."""

    version: str | None = None
    full: str | None = None
    error: str | None = None
    missing: bool = False


class Cuda(msgspec.Struct, frozen=True, kw_only=True):
    """code: what cuInit answered; version: the newest CUDA that the driver serves."""

    code: int | None = None
    count: int = 0
    gpu: str = ""
    capability: str = ""
    memory_bytes: int = 0
    version: str | None = None
    error: str | None = None
    missing: bool = False


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """system: version of /usr/bin/python3. asked: the interpreter that told of the libraries.
    foreign: a python3 that is found before the system's, where there is one."""

    system: str | None = None
    asked: str | None = None
    foreign: str | None = None
    numpy: Library = Library()
    tensorrt: Library = Library()
    pycuda: Library = Library()
    cuda: Cuda = Cuda()


def read_python(machine: Machine) -> Python:
    interpreter = _interpreter(machine)
    with ThreadPoolExecutor(len(_QUESTIONS)) as pool:
        system = pool.submit(_ask, machine, SYSTEM, "python")
        libraries = [name for name in _QUESTIONS if name != "python"]
        asked = {name: pool.submit(_ask, machine, interpreter, name) for name in libraries}
    told = {name: answer.result() for name, answer in asked.items()}
    return Python(
        system=msgspec.convert(system.result(), Library).version,
        asked=interpreter if machine.has(interpreter) else None,
        foreign=_foreign(machine),
        cuda=msgspec.convert(told.pop("cuda"), Cuda),
        **{name: msgspec.convert(found, Library) for name, found in told.items()},
    )


def _interpreter(machine: Machine) -> str:
    own = f"{layout.CURRENT}/bin/python"
    return own if machine.has(own) else SYSTEM


def _ask(machine: Machine, interpreter: str, name: str) -> dict[str, object]:
    script = _FRAME.format(question=_QUESTIONS[name])
    ran = machine.run(str(machine.path(interpreter)), "-I", "-c", script, seconds=LOAD_S)
    if ran is None:
        return {"error": "no Python to ask"}
    lines = ran.out.strip().splitlines()
    try:
        found = msgspec.json.decode(lines[-1] if lines else b"", type=dict[str, object])
    except msgspec.DecodeError:
        found = {}
    if found and ran.code == 0:
        return found
    return {"error": "it does not answer" if ran.code == -1 else f"it ended with {ran.code}"}


def _foreign(machine: Machine) -> str | None:
    """The first python3 on the PATH of a login, where that is neither the system's nor one of its
    environments: conda's or pyenv's sees no TensorRT."""
    words = [line.partition("PATH=")[2] for line in _environment(machine) if "PATH=" in line]
    path = ":".join(words).replace('"', "")
    if machine.is_this:
        path = os.environ.get("PATH", "") + ":" + path
    for folder in path.split(":"):
        if not folder.startswith("/") or "\0" in folder:  # as a power cut leaves a file's end
            continue
        candidate = machine.path(f"{folder}/python3")
        if not os.access(candidate, os.X_OK):
            continue
        if folder in _SYSTEM_FOLDERS or _of_the_system(machine, Path(folder).parent):
            return None
        return f"{folder}/python3"
    return None


def _environment(machine: Machine) -> list[str]:
    return (machine.read("/etc/environment") or "").splitlines()


def _of_the_system(machine: Machine, environment: Path) -> bool:
    """Whether a folder is a venv that was made with the system's Python."""
    text = machine.read(str(environment / "pyvenv.cfg")) or ""
    homes = [line.partition("=")[2].strip() for line in text.splitlines() if line[:4] == "home"]
    return bool(homes) and homes[0] in _SYSTEM_FOLDERS
