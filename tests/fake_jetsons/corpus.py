"""The corpus: fake devices, each with exactly the lines that the doctor must have red and yellow.

`make doctor-corpus` prints it. Every pair of a supported module and JetPack is there, and must have
neither; and each fault that a field engineer may meet, which must have its own lines and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_jetsons.tree import LOOP, ORIN_NODES, THOR_NODES, USERS

ORINS = ("orin-nano-4gb", "orin-nano-8gb", "orin-nx-8gb", "orin-nx-16gb", "agx-orin-32gb",
         "agx-orin-64gb")  # fmt: skip
TREE = "proc/device-tree"
BOOT = "etc/nv_boot_control.conf"
SENSOR = "sys/class/thermal"
STORE = "var/lib/scanside/chosen.json"


@dataclass(frozen=True)
class Row:
    """changes: to `fake_jetsons.tree.Spec`. bundle: which of the test's bundles to ask about.
    nothing: the root is an empty folder."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    red: frozenset[str] = frozenset()
    yellow: frozenset[str] = frozenset()
    bundle: str = ""
    nothing: bool = False

    @property
    def verdict(self) -> str:
        return "red" if self.red else "yellow" if self.yellow else "green"


def row(name: str, red: str = "", yellow: str = "", bundle: str = "", **changes: Any) -> Row:
    return Row(name, changes, frozenset(red.split()), frozenset(yellow.split()), bundle)


def _good() -> list[Row]:
    pairs = [(m, jp, l4t) for m in ORINS for jp, l4t in
             (("6.1", "36.4.0"), ("6.2", "36.4.3"), ("7.2", "39.2.0"))]  # fmt: skip
    pairs += [("thor-t5000", jp, l4t) for jp, l4t in
              (("7.0", "38.2.0"), ("7.1", "38.4.0"), ("7.2", "39.2.0"))]  # fmt: skip
    pairs += [("thor-t4000", jp, l4t) for jp, l4t in (("7.1", "38.4.0"), ("7.2", "39.2.0"))]
    rows = [row(f"{m} with JetPack {jp}", module=m, l4t=l4t) for m, jp, l4t in pairs]
    for jp, l4t in (
        ("6.2.1", "36.4.4"),
        ("6.2.1", "36.4.7"),
        ("6.2.2", "36.5.0"),
        ("6.2.3", "36.5.2"),
    ):
        rows.append(row(f"orin-nx-16gb with JetPack {jp} ({l4t})", l4t=l4t))
    for module in ("agx-orin-64gb", "thor-t5000"):
        name = f"{module} with JetPack 7.2.2 and TensorRT 11.4.1"
        rows.append(row(name, module=module, l4t="39.2.2"))
    rows += [
        row("a carrier that calls itself otherwise", files={f"{TREE}/model": "Contoso Box 9\0"}),
        row("no TNSPEC, the device tree tells", files={BOOT: "TEGRA_CHIPID 0x23\n"}),
        row("no release file, dpkg tells", files={"etc/nv_tegra_release": None}),
        row(
            "NUL-terminated garbage in the device tree and the boot control",
            files={
                f"{TREE}/model": b"NVIDIA Jetson Orin NX\0\xff\xfe\x1b[31m\0\0left over\0",
                f"{TREE}/serial-number": b"14\x07\x1b]0;x\x07\xff\0\0\0",
                BOOT: b"\0\0TNSPEC nothing\nTNSPEC 3767-301-0000-M.2-1-1-jetson-\0\xff\n",
            },
        ),
        row("the store's own bundle again", bundle="good"),
        row("a bundle with a plan of this device", bundle="plan of this device"),
        row("a bundle for any device", bundle="any"),
        row("a fan without a tachometer", files={"sys/class/hwmon/hwmon1/rpm": None}),
    ]
    return rows


def _platform() -> list[Row]:
    unknown = {BOOT: "TNSPEC 3999-100-0000-A.1-1-1-other-\n", f"{TREE}/model": "Contoso\0",
               f"{TREE}/compatible": "contoso,box\0"}  # fmt: skip
    igx = {
        BOOT: "TNSPEC 3701-500-0002-A.1-1-1-holoscan-devkit-\n",
        f"{TREE}/compatible": "nvidia,p3740-0002+p3701-0002\0nvidia,p3701-0002\0",
    }
    industrial = {name: text.replace("0002", "0008") for name, text in igx.items()}
    no_l4t = {"dpkg-query": "exit 1"}
    old = "module.known release.supported"
    return [
        row("unknown module", "module.known", files=unknown),
        row("a module of a known board with an unknown SKU", "module.known", files=igx),
        row("that, without a TNSPEC", "module.known", files={**igx, BOOT: None}),
        row("AGX Orin Industrial", "module.known", files=industrial),
        row("Xavier NX with JetPack 5", old, module="xavier-nx", l4t="35.5.0"),
        row("AGX Xavier with JetPack 5", old, module="agx-xavier", l4t="35.5.0"),
        row("the first Nano with JetPack 4", old, module="nano", l4t="32.7.1"),
        row("Orin with JetPack 5", "release.supported", l4t="35.5.0"),
        row("Orin with JetPack 6.0", "release.supported", l4t="36.3.0"),
        row("an L4T of no JetPack", "release.supported", l4t="37.1.0"),
        row(
            "neither a release file nor packages",
            "release.supported",
            "packages.one_version",
            files={"etc/nv_tegra_release": None},
            scripts=no_l4t,
        ),
        row("L4T 36.4.4 mixed with 36.4.7", "packages.one_version", l4t="36.4.7", mixed="36.4.4"),
        row("an upgrade that was cut short", "packages.one_version", torn=True),
        row(
            "packages of another L4T than the release file",
            "packages.one_version",
            l4t="36.4.7",
            packaged="36.4.4",
        ),
        row("L4T is not held", yellow="packages.held", held=False),
        row(
            "an Orin with a JetPack of Thor",
            "release.for_module",
            l4t="38.4.0",
        ),
        row("T4000 with JetPack 7.0", yellow="release.for_module", module="thor-t4000",
            l4t="38.2.0"),
        row(
            "only the model tells, and that may mean two modules",
            yellow="module.known",
            module="orin-nano-8gb",
            files={BOOT: None, f"{TREE}/compatible": "nvidia,tegra234\0"},
        ),
        row(
            "EEPROM and device tree of two modules",
            yellow="module.device_tree",
            files={f"{TREE}/compatible": "nvidia,p3768-0000+p3767-0001\0nvidia,p3767-0001\0"},
        ),
        row(
            "another Ubuntu than JetPack's",
            yellow="release.ubuntu",
            files={"etc/os-release": 'PRETTY_NAME="Debian 12"\nVERSION_ID="12"\n'},
        ),
    ]  # fmt: skip


def _libraries() -> list[Row]:
    conda = 'PATH="/opt/conda/bin:/usr/bin"\n'
    return [
        row("bindings missing", "tensorrt.bindings", tensorrt=""),
        row("bindings that crash", "tensorrt.bindings", tensorrt="abort"),
        row("another TensorRT", "tensorrt.version", tensorrt="10.7.0", library="10.7.0.23-1"),
        row("bindings of another TensorRT than the library", "tensorrt.version",
            library="10.4.0.1"),
        row("TensorRT 11 on an Orin NX", "tensorrt.version", l4t="39.2.2"),
        row("NumPy 2 with TensorRT 10.3", yellow="python.numpy", numpy="2.2.6"),
        row("PyCUDA missing", "python.pycuda", pycuda=False),
        row("Python 3.8 on JetPack 6.2", "python.system", python=(3, 8, 10)),
        row(
            "Python 3.13 on JetPack 7",
            yellow="python.system",
            module="thor-t5000",
            l4t="38.4.0",
            python=(3, 13, 0),
        ),
        row(
            "conda first on the PATH",
            yellow="python.first",
            files={"etc/environment": conda},
            scripts={"../../opt/conda/bin/python3": "exit 1"},
        ),
        row("no system Python", "python.system", scripts={"python3": None}),
        row("no render group", "access.groups access.user cuda.driver",
            cuda={"init": 801},
            files={"etc/group": "root:x:0:\nvideo:x:44:scanside\nscanside:x:999:\n"}),
        row("the user is not in render", "access.user",
            files={"etc/group": "root:x:0:\nvideo:x:44:scanside\nrender:x:104:ubuntu\n"}),
        row("the user is gone", "access.user", files={"etc/passwd": USERS.splitlines(True)[0]}),
        row("no render node", "access.nodes cuda.driver", cuda={"init": 801},
            nodes=tuple(name for name in ORIN_NODES if "render" not in name)),
        row("no nvgpu", "access.nodes cuda.driver", cuda={"count": 0},
            nodes=tuple(name for name in ORIN_NODES if "nvgpu" not in name)),
        row("a Thor without /dev/nvidiactl", yellow="access.nodes", module="thor-t5000",
            l4t="39.2.0", nodes=tuple(name for name in THOR_NODES if name != "nvidiactl")),
        row("no CUDA driver", "cuda.driver", cuda=None),
        row("a CUDA driver that fails", "cuda.driver", cuda={"init": 999}),
        row("another CUDA than JetPack's", yellow="cuda.driver", cuda={"driver": 12020}),
        row("a GPU of another module", "cuda.capability", cuda={"major": 7, "minor": 2}),
    ]  # fmt: skip


def _body() -> list[Row]:
    return [
        row("a full disk", "disk.room", free_mb=150),
        row("a disk without inodes", "disk.room", inodes=12),
        row("a disk that is nearly full", yellow="disk.room", free_mb=3000),
        row("a read-only root", "disk.writable", mounted="ro,relatime"),
        row("too little memory to be had", "memory.available", available_mb=700),
        row("half the module's memory", "memory.total", gib=7.4, available_mb=5000),
        row("a T4000 of another memory", "memory.total", module="thor-t4000", l4t="39.2.0",
            gib=30.0),
        row("MAXN_SUPER", yellow="power.mode", mode="MAXN_SUPER"),
        row("a power mode that nobody knows", yellow="power.mode", mode="17W"),
        row("a power mode and an Ubuntu that are named with escapes",
            yellow="power.mode release.ubuntu", mode="\\033[31m15W",
            files={"etc/os-release": 'PRETTY_NAME="\x1b]0;x\x07"\nVERSION_ID="\x1b[0m"\n'}),
        row("nvpmodel hangs", yellow="power.mode", scripts={"nvpmodel": "exec sleep 600"}),
        row(
            "nvpmodel hangs, but its status is there",
            yellow="power.mode",
            scripts={"nvpmodel": "exec sleep 600"},
            files={"var/lib/nvpmodel/status": "pmode:0003 fmode:quiet\n"},
        ),
        row("nvpmodel lists nothing", yellow="power.default", files={"etc/nvpmodel.conf": "\n"}),
        row("hot: it slows itself down", yellow="heat.temperature", celsius=99.6),
        row("a hot surface, for which nothing is slowed down", celsius=76.0),
        row("warm", yellow="heat.temperature", celsius=88.0),
        row("about to switch itself off", "heat.temperature", celsius=105.1),
        row("throttling", "heat.throttling", throttling=True),
        row("a CPU whose clock is held down", "heat.throttling",
            files={f"{SENSOR}/cooling_device2/cur_state": "3\n"}),
        row("sensors missing", yellow="heat.temperature",
            files={f"{SENSOR}/thermal_zone{n}/type": None for n in range(3)}),
        row("over-current events", yellow="power.over_current", over_current=4),
        row("the fan stands still", "heat.fan", fan=(180, 0)),
        row("tegrastats that never ends, of Thor", module="thor-t5000", l4t="39.2.0",
            endless_stats=True),
        row("tegrastats says nothing", yellow="power.tegrastats", scripts={"tegrastats": "exit 1"}),
        row("an L4T whose last figure is not listed", l4t="36.5.9"),
        row("no time server", yellow="time.synchronised", synchronised=False),
        row("a clock in 1970", "time.clock", "time.synchronised", unix=4000, synchronised=False),
        row("timedatectl hangs", yellow="time.synchronised",
            scripts={"timedatectl": "exec sleep 600"}),
    ]  # fmt: skip


def _scanside() -> list[Row]:
    return [
        row("as NVIDIA ships it", yellow="packages.held scanside.application scanside.store",
            provisioned=False, held=False),
        row("the unit failed", "scanside.service", scripts={"systemctl": "echo failed; exit 3"}),
        row("the unit is stopped", yellow="scanside.service",
            scripts={"systemctl": "echo inactive; exit 3"}),
        row("a damaged store", "scanside.store", files={STORE: "{"}),
        row("a store that lost its bundle", "scanside.store", stored=False),
        row("a store without a choice", yellow="scanside.store", files={STORE: "{}"}),
        row("files that cannot be read", yellow="scanside.store doctor.sight", files={STORE: LOOP}),
        row("bundles that cannot be seen", yellow="scanside.store doctor.sight", stored=False,
            files={"var/lib/scanside/bundles": LOOP}),
        row("groups that cannot be read", yellow="access.groups doctor.sight",
            files={"etc/group": LOOP}),
        row("a bundle for another target", "bundle.target", bundle="another target"),
        row("a bundle for the Nano that has as much memory", "bundle.target", module="orin-nx-8gb",
            bundle="of a Nano"),
        row("a plan built elsewhere", "bundle.plan", bundle="plan built elsewhere"),
        row("a bundle of a Nano's plan on an NX", "bundle.plan", module="orin-nx-8gb",
            bundle="plan of a Nano"),
        row("an unsigned bundle", "bundle.signature", bundle="unsigned"),
        row("a bundle signed by a stranger", "bundle.signature", bundle="stranger"),
        row("a downgraded bundle", "bundle.serial", bundle="good", serial=9),
        row("a bundle that was cut", "bundle.signature", bundle="cut"),
        row("no such bundle", "bundle.signature", bundle="nowhere"),
        row("a bundle that needs more memory", "memory.available", bundle="large",
            available_mb=1500),
        Row(
            "an empty root",
            red=frozenset(
                {"module.known", "release.supported", "tensorrt.bindings", "cuda.driver"}
            ),
            yellow=frozenset({
                "packages.one_version", "access.groups", "power.mode", "heat.temperature",
                "power.tegrastats", "memory.available", "disk.room", "disk.writable", "time.clock",
                "time.synchronised", "scanside.application", "scanside.store",
            }),
            nothing=True,
        ),
    ]  # fmt: skip


CORPUS = (*_good(), *_platform(), *_libraries(), *_body(), *_scanside())
