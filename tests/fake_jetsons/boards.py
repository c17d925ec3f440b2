"""What modules and JetPacks look like from inside: written down once more, apart from the table of
platforms, so that a cell which is wrong there is wrong in one place only."""

from __future__ import annotations

from dataclasses import dataclass

JP6_STATS = (
    "01-08-2025 10:00:01 RAM 2741/{mb}MB (lfb 4x4MB) SWAP 0/7810MB (cached 0MB) CPU "
    "[3%@729,1%@729,0%@729,0%@729,off,off] EMC_FREQ 1%@2133 GR3D_FREQ 10%@1300 cpu@48.5C "
    "soc2@47.1C gpu@46.9C tj@48.5C VDD_IN 4951mW/4951mW VDD_CPU_GPU_CV 760mW/760mW"
)
AGX_STATS = JP6_STATS.partition("VDD_")[0] + (
    "VDD_GPU_SOC 3200mW/3200mW VDD_CPU_CV 800mW/800mW VIN_SYS_5V0 4100mW/4100mW"
)
JP7_STATS = JP6_STATS.replace("10%@1300", "12%@[1300,1300]")
THOR_STATS = (
    "08-25-2025 10:00:01 RAM 4103/{mb}MB (lfb 9x4MB) CPU [0%@1890,0%@1890] "
    "GR3D_FREQ @[314,314,314] cpu@41.0C tj@42.5C VDD_GPU 1200mW/1200mW "
    "VIN_SYS_5V0 4000mW/4000mW VIN 31000mW/31000mW"
)


@dataclass(frozen=True)
class Board:
    """gib: what the firmware leaves. modes: of nvpmodel.conf, in the order of their ids."""

    model: str
    board: str
    configuration: str
    gib: float
    modes: tuple[str, ...]
    mode: str
    thor: bool = False


NANO = "NVIDIA Jetson Orin Nano Developer Kit Super"
NX = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super"
AGX = "NVIDIA Jetson AGX Orin Developer Kit"
THOR = "NVIDIA Jetson AGX Thor Developer Kit"
SUPER = "jetson-orin-nano-devkit-super-"
BOARDS = {
    "orin-nano-4gb": Board(
        NANO, "3767-300-0004", SUPER, 3.3, ("10W", "25W", "MAXN_SUPER"), "10W"
    ),
    "orin-nano-8gb": Board(
        NANO, "3767-300-0005", SUPER, 7.44, ("15W", "25W", "MAXN_SUPER", "7W"), "25W"
    ),
    "orin-nx-8gb": Board(
        NX, "3767-301-0001", SUPER, 7.4, ("MAXN_SUPER", "10W", "15W", "20W", "40W"), "20W"
    ),
    "orin-nx-16gb": Board(
        NX, "3767-301-0000", SUPER, 15.3, ("MAXN_SUPER", "10W", "15W", "25W", "40W"), "25W"
    ),
    "agx-orin-32gb": Board(
        AGX, "3701-500-0004", "jetson-agx-orin-devkit-", 29.9,
        ("MAXN", "MODE_15W", "MODE_30W", "MODE_40W"), "MODE_30W",
    ),
    "agx-orin-64gb": Board(
        AGX, "3701-500-0005", "jetson-agx-orin-devkit-", 61.4,
        ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"), "MODE_30W",
    ),
    "thor-t4000": Board(
        THOR, "3834-100-0000", "jetson-agx-thor-t4000-", 61.2, ("MAXN",), "MAXN", True
    ),
    "thor-t5000": Board(
        THOR, "3834-100-0008", "jetson-agx-thor-devkit-", 122.8, ("MAXN", "120W"), "120W", True
    ),
    "xavier-nx": Board(
        "NVIDIA Jetson Xavier NX Developer Kit", "3668-200-0001", "jetson-xavier-nx-devkit-emmc-",
        7.6, ("MODE_15W_2CORE", "MODE_10W_2CORE"), "MODE_15W_2CORE",
    ),
    "agx-xavier": Board(
        "Jetson-AGX", "2888-400-0004", "jetson-agx-xavier-devkit-", 30.9,
        ("MAXN", "MODE_15W"), "MAXN",
    ),
    "nano": Board(
        "NVIDIA Jetson Nano Developer Kit", "3448-400-0000", "jetson-nano-devkit-", 3.9,
        ("MAXN", "5W"), "MAXN",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Jetpack:
    """driver: what cuDriverGetVersion answers."""

    ubuntu: str
    python: tuple[int, int, int]
    tensorrt: str
    library: str
    driver: int
    numpy: str


JETPACKS = {
    "32.7.1": Jetpack("18.04", (3, 6, 9), "8.2.1.8", "8.2.1-1+cuda10.2", 10020, "1.13.3"),
    "35.5.0": Jetpack("20.04", (3, 8, 10), "8.5.2.2", "8.5.2-1+cuda11.4", 11040, "1.17.4"),
    "36.3.0": Jetpack("22.04", (3, 10, 12), "8.6.2", "8.6.2.3-1+cuda12.2", 12020, "1.26.4"),
    "36.4": Jetpack("22.04", (3, 10, 12), "10.3.0", "10.3.0.30-1+cuda12.5", 12060, "1.26.4"),
    "36.5": Jetpack("22.04", (3, 10, 12), "10.3.0", "10.3.0.30-1+cuda12.5", 12060, "1.26.4"),
    "37.1": Jetpack("22.04", (3, 10, 12), "10.3.0", "10.3.0.30-1+cuda12.5", 12060, "1.26.4"),
    "38": Jetpack("24.04", (3, 12, 3), "10.13.3.9", "10.13.3.9-1+cuda13.0", 13000, "2.2.6"),
    "39.2.2": Jetpack("24.04", (3, 12, 3), "11.4.1.5", "11.4.1.5-1+cuda13.2", 13020, "2.2.6"),
    "39.2": Jetpack("24.04", (3, 12, 3), "10.16.2.10", "10.16.2.10-1+cuda13.2", 13020, "2.2.6"),
}


def jetpack_of(l4t: str) -> Jetpack:
    return max((k, v) for k, v in JETPACKS.items() if l4t.startswith(k))[1]
