"""A Jetson in a folder: the files and tools that Scanside's readers look at, written after the
formats that public pages show. No Jetson was touched: these are fakes.

Its Python is this one behind a script, with stand-ins for JetPack's packages and a stub CUDA
driver; the questions that Scanside asks really run in it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from devices import make_libcuda
from fake_jetsons.boards import (
    AGX_STATS,
    BOARDS,
    JP6_STATS,
    JP7_STATS,
    THOR_STATS,
    Board,
    Jetpack,
    jetpack_of,
)

LOOP = "a link to itself, which nobody can read, root included"
VERSION = "0.1.0"
BUILD = "20250107174145"
GROUPS = "root:x:0:\nvideo:x:44:ubuntu,scanside\nrender:x:104:scanside\nscanside:x:999:\n"
USERS = (
    "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n"
    "scanside:x:999:999::/var/lib/scanside:/usr/sbin/nologin\n"
)
ORIN_NODES = ("nvmap", "nvgpu/igpu0/ctrl", "nvgpu/igpu0/as", "dri/card0", "dri/renderD128",
              "host1x-fence", "nvidia0", "nvidiactl", "nvsciipc")  # fmt: skip
THOR_NODES = ("nvmap", "dri/card0", "dri/renderD128", "nvidia0", "nvidiactl", "nvidia-uvm")


@dataclass(frozen=True)
class Spec:
    """What a fake is, and what is wrong with it; None where the module or the JetPack decides.

    files: path -> contents, written last; None removes one. scripts: tool -> shell, likewise, by
    its name in usr/bin or its path from there. cuda: None without a driver.
    """

    module: str = "orin-nx-16gb"
    l4t: str = "36.4.3"
    packaged: str | None = None
    mixed: str = ""
    torn: bool = False
    held: bool = True
    provisioned: bool = True
    mode: str | None = None
    celsius: float = 48.5
    throttling: bool = False
    over_current: int = 0
    fan: tuple[int, int] = (90, 2100)
    gib: float | None = None
    available_mb: int | None = None
    free_mb: int = 40_000
    inodes: int = 900_000
    mounted: str = "rw,relatime"
    unix: int = 1_790_000_000
    synchronised: bool = True
    python: tuple[int, int, int] | None = None
    tensorrt: str | None = None
    library: str | None = None
    numpy: str | None = None
    pycuda: bool = True
    cuda: Mapping[str, Any] | None = field(default_factory=dict)
    nodes: tuple[str, ...] | None = None
    serial: int = 3
    stored: bool = True
    endless_stats: bool = False
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    scripts: Mapping[str, str | None] = field(default_factory=dict)


def make_jetson(folder: Path, spec: Spec = Spec(), **changes: Any) -> Path:
    """Write a fake device into `folder`, which becomes its root."""
    spec = replace(spec, **changes)
    board, jetpack = BOARDS[spec.module], jetpack_of(spec.l4t)
    root = folder
    for name, content in {**_system(spec, board, jetpack), **_sensors(spec), **spec.files}.items():
        path = root / name
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == LOOP:
            path.unlink(missing_ok=True)
            path.symlink_to(path.name)
            continue
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name in ORIN_NODES if not board.thor else THOR_NODES:
        if spec.nodes is None or name in spec.nodes:
            path = root / "dev" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for name, text in {**_tools(spec, board, jetpack), **spec.scripts}.items():
        if text is not None:
            write_script(root / "usr/bin" / name, text)
    _python(root, spec, board, jetpack)
    if spec.provisioned:
        _provision(root, spec)
    return root


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _system(spec: Spec, board: Board, jetpack: Jetpack) -> dict[str, str | bytes]:
    major, _, revision = spec.l4t.partition(".")
    kib = int((spec.gib or board.gib) * (1 << 20))
    available = kib * 7 // 10 if spec.available_mb is None else spec.available_mb << 10
    chip, carrier = ("264", "p4071-0000") if board.thor else ("234", "p3768-0000")
    number, _, sku = board.board.split("-")
    names = "".join(
        f"< POWER_MODEL ID={n} NAME={m} >\nGPU MAX_FREQ -1\n\n" for n, m in enumerate(board.modes)
    )
    default = board.modes.index(board.mode)
    return {
        "etc/nv_tegra_release": f"# R{major} (release), REVISION: {revision}, GCID: 38968081, "
        "BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n"
        "# KERNEL_VARIANT: oot\n",
        "etc/os-release": f'PRETTY_NAME="Ubuntu {jetpack.ubuntu} LTS"\nNAME="Ubuntu"\n'
        f'VERSION_ID="{jetpack.ubuntu}"\n',
        "etc/nv_boot_control.conf": f"TNSPEC {board.board}-M.2-1-1-{board.configuration}\n"
        f"COMPATIBLE_SPEC {number}--{sku}--1--{board.configuration}\n"
        "TEGRA_BOOT_STORAGE nvme0n1\nTEGRA_CHIPID 0x23\nTEGRA_OTA_BOOT_DEVICE /dev/mtdblock0\n",
        "proc/device-tree/model": f"{board.model}\0",
        "proc/device-tree/serial-number": "1421123456789\0",
        "proc/device-tree/compatible": f"nvidia,{carrier}+p{number}-{sku}\0nvidia,p{number}-{sku}"
        f"\0nvidia,tegra{chip}\0",
        "proc/meminfo": f"MemTotal:       {kib} kB\nMemFree:        {available // 2} kB\n"
        f"MemAvailable:   {available} kB\nSwapTotal:      8009728 kB\n",
        "proc/mounts": f"/dev/nvme0n1p1 / ext4 {spec.mounted} 0 0\nproc /proc proc rw,nosuid 0 0\n",
        "etc/nvpmodel.conf": "# FORMAT:\n# < POWER_MODEL ID=id_num NAME=mode_name >\n\n"
        f"{names}< PM_CONFIG DEFAULT={default} >\n",
        "etc/group": GROUPS if spec.provisioned else "root:x:0:\nvideo:x:44:\nrender:x:104:\n",
        "etc/passwd": USERS if spec.provisioned else USERS.splitlines(True)[0],
        "etc/environment": 'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"\n',
        "etc/nvidia-container-runtime/host-files-for-container.d/devices.csv": "dev, /dev/nvmap\n"
        "dev, /dev/nvgpu/igpu0/ctrl\ndev, /dev/host1x-fence\n",
    }


def _sensors(spec: Spec) -> dict[str, str | bytes]:
    thermal, hwmon, gpu = "sys/class/thermal", "sys/class/hwmon", "sys/class/devfreq/17000000.gpu"
    cpu = "sys/devices/system/cpu"
    milli = int(spec.celsius * 1000)
    return {
        f"{thermal}/thermal_zone0/type": "cpu-thermal\n",
        f"{thermal}/thermal_zone0/temp": f"{milli - 500}\n",
        f"{thermal}/thermal_zone0/trip_point_0_type": "passive\n",
        f"{thermal}/thermal_zone0/trip_point_0_temp": "99000\n",
        f"{thermal}/thermal_zone0/trip_point_1_type": "critical\n",
        f"{thermal}/thermal_zone0/trip_point_1_temp": "104500\n",
        f"{thermal}/thermal_zone0/trip_point_2_type": "passive\n",
        f"{thermal}/thermal_zone0/trip_point_2_temp": "70000\n",
        f"{thermal}/thermal_zone0/cdev0/type": "cpu-throttle-alert\n",
        f"{thermal}/thermal_zone0/cdev0_trip_point": "0\n",
        f"{thermal}/thermal_zone0/cdev1/type": "hot-surface-alert\n",
        f"{thermal}/thermal_zone0/cdev1_trip_point": "2\n",
        f"{thermal}/thermal_zone1/type": "tj-thermal\n",
        f"{thermal}/thermal_zone1/temp": f"{milli}\n",
        f"{thermal}/thermal_zone2/type": "cv0-thermal\n",  # switched off: it refuses its reading
        f"{thermal}/cooling_device0/type": "cpu-throttle-alert\n",
        f"{thermal}/cooling_device0/cur_state": f"{int(spec.throttling)}\n",
        f"{thermal}/cooling_device1/type": "pwm-fan\n",
        f"{thermal}/cooling_device1/cur_state": "2\n",
        f"{thermal}/cooling_device2/type": "cpufreq-cpu0\n",
        f"{thermal}/cooling_device2/cur_state": "0\n",
        f"{thermal}/cooling_device3/type": "hot-surface-alert\n",
        f"{thermal}/cooling_device3/cur_state": f"{int(spec.celsius > 70)}\n",
        f"{hwmon}/hwmon0/name": "pwmfan\n",
        f"{hwmon}/hwmon0/pwm1": f"{spec.fan[0]}\n",
        f"{hwmon}/hwmon1/name": "pwm_tach\n",
        f"{hwmon}/hwmon1/rpm": f"{spec.fan[1]}\n",
        f"{hwmon}/hwmon2/name": "soctherm_oc\n",
        f"{hwmon}/hwmon2/oc1_event_cnt": f"{spec.over_current}\n",
        f"{hwmon}/hwmon2/oc2_event_cnt": "0\n",
        f"{gpu}/cur_freq": "306000000\n",
        f"{gpu}/min_freq": "306000000\n",
        f"{gpu}/max_freq": "918000000\n",
        f"{gpu}/available_frequencies": "306000000 612000000 918000000 1173000000\n",
        f"{gpu}/governor": "nvhost_podgov\n",
        f"{cpu}/online": "0-7\n",
        f"{cpu}/present": "0-7\n",
        f"{cpu}/cpu0/cpufreq/scaling_cur_freq": "729600\n",
        f"{cpu}/cpu0/cpufreq/scaling_max_freq": "1497600\n",
        f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq": "1984000\n",
        f"{cpu}/cpu0/cpufreq/scaling_governor": "schedutil\n",
    }


def _tools(spec: Spec, board: Board, jetpack: Jetpack) -> dict[str, str]:
    mode = spec.mode or board.mode
    number = board.modes.index(mode) if mode in board.modes else 9
    l4t = spec.packaged or spec.l4t
    state = "hi " if spec.held else "ii "
    own = ("core", "cuda", "firmware", "init", "multimedia", "nvpmodel", "tools", "x11")
    packages = [f"{state}\tnvidia-l4t-{name}\t{l4t}-{BUILD}" for name in own]
    packages.append(f"{state}\tnvidia-l4t-kernel\t5.15.148-tegra-{l4t}-{BUILD}")
    if spec.mixed:
        packages.append(f"{state}\tnvidia-l4t-camera\t{spec.mixed}-{BUILD}")
    if spec.torn:
        packages.append(f"{state[0]}F \tnvidia-l4t-bootloader\t{l4t}-{BUILD}")
    library = spec.library or jetpack.library
    packages += [f"ii \tlibnvinfer{library.split('.')[0]}\t{library}",
                 f"ii \tpython3-libnvinfer\t{library}", "rc \tlibcudnn8\t8.9.4-1",
                 "ii \tlibcudnn9-cuda-12\t9.3.0.75-1"]  # fmt: skip
    listing = "\n".join(packages)
    stats = THOR_STATS if board.thor else JP7_STATS if spec.l4t[:2] == "39" else JP6_STATS
    if board.board.startswith("3701"):
        stats = AGX_STATS
    line = stats.format(mb=int(board.gib * 1024))
    sync = "yes" if spec.synchronised else "no"
    size = 240_000_000
    return {
        "dpkg-query": f'case "$*" in *db:Status*) cat <<"END"\n{listing}\nEND\nexit 1;;\n'
        f"*nvidia-l4t-core) printf {l4t}-{BUILD};; *) exit 1;; esac",
        "nvpmodel": f'[ "$1" = -q ] || exit 1\nprintf "NV Power Mode: {mode}\\n{number}\\n"',
        "tegrastats": f'echo "{line}"' + ("; exec sleep 600" if spec.endless_stats else ""),
        "df": 'case "$2" in -i) '
        f'set -- "$3" {size} {size - spec.inodes} {spec.inodes};; *) '
        f'set -- "$3" {size} {size - spec.free_mb * 1024} {spec.free_mb * 1024};; esac\n'
        'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"\n'
        'echo "/dev/nvme0n1p1 $2 $3 $4 50% /"',
        "date": f"echo {spec.unix}",
        "timedatectl": f'printf "Timezone=Etc/UTC\\nNTP={sync}\\nNTPSynchronized={sync}\\n"',
        "systemctl": "echo active",
    }


def _python(root: Path, spec: Spec, board: Board, jetpack: Jetpack) -> None:
    """/usr/bin/python3, and the application's own, which sees NumPy and PyCUDA as well."""
    system, own = root / "usr/lib/python3/dist-packages", root / "opt/packages"
    for folder in (system, own / "pycuda"):
        folder.mkdir(parents=True, exist_ok=True)
    if spec.tensorrt != "":
        text = f"__version__ = {spec.tensorrt or jetpack.tensorrt!r}\n"
        crash = "import os; os.abort()\n"
        (system / "tensorrt.py").write_text(crash if spec.tensorrt == "abort" else text)
    (own / "numpy.py").write_text(f"__version__ = {spec.numpy or jetpack.numpy!r}\n")
    if spec.pycuda:
        (own / "pycuda" / "__init__.py").write_text("VERSION_TEXT = '2025.1.2'\n")
        (own / "pycuda" / "driver.py").touch()
    answers = {
        "gpu": "Thor" if board.thor else "Orin",
        "major": 11 if board.thor else 8,
        "minor": 0 if board.thor else 7,
        "memory": int((spec.gib or board.gib) * (1 << 30)),
        "driver": jetpack.driver,
        **(spec.cuda or {}),
    }
    library = b"none" if spec.cuda is None else _libcuda(tuple(sorted(answers.items())))
    (root / "usr/lib/libcuda.so.1").write_bytes(library)
    for name, folders in (
        ("usr/bin/python3", [system]),
        (f"opt/scanside/versions/{VERSION}/bin/python", [own, system]),
    ):
        if "opt" in name and not spec.provisioned:
            continue
        if name == "usr/bin/python3" and spec.scripts.get("python3", "") is None:
            continue
        paths = [str(folder) for folder in folders]
        begin = (
            f"import sys; sys.path[:0] = {paths!r}; "
            f"sys.version_info = {spec.python or jetpack.python!r}; exec(sys.argv[-1])"
        )
        write_script(
            root / name,
            f'LD_LIBRARY_PATH=\'{root}/usr/lib\' exec {sys.executable} -I -S -c "{begin}" "$@"',
        )


@lru_cache(maxsize=64)
def _libcuda(answers: tuple[tuple[str, Any], ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_libcuda(Path(folder), **dict(answers)).read_bytes()


def _provision(root: Path, spec: Spec) -> None:
    (root / "opt/scanside/current").symlink_to(f"versions/{VERSION}")
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/systemd/system/scanside.service").write_text("[Service]\n")
    chosen = {"active": "a" * 64, "previous": None, "serials": {"test": spec.serial}}
    path = root / "var/lib/scanside/chosen.json"
    if "var/lib/scanside/chosen.json" not in spec.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(chosen))
    if spec.stored:
        (path.parent / "bundles").mkdir(parents=True)
        (path.parent / "bundles" / ("a" * 64)).touch()
