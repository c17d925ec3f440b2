"""What the tests of `device verify` share."""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance import MODES, NVPMODEL
from bundles import write_test_bundle


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An Orin NX 16 GB with JetPack 6.2, in 25W; 40W needs a reboot. Sensors as on the device."""
    folder = tmp_path / "root"
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
        "etc/nv_boot_control.conf": "TNSPEC 3767-300-0000-R.1-1-1-jetson-orin-nx-\n",
        "etc/nvpmodel.conf": "".join(
            f"< POWER_MODEL ID={number} NAME={name} >\n" for name, number in MODES.items()
        ),
        "proc/device-tree/serial-number": "1421023000001\0",
        "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n",
        "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51250\n",
        "sys/class/thermal/cooling_device0/type": "gpu-throttle-alert\n",
        "sys/class/thermal/cooling_device0/cur_state": "0\n",
        "sys/class/hwmon/hwmon1/oc1_event_cnt": "3\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "918000000\n",
        "run/mode": "3\n",
        "usr/bin/nvpmodel": NVPMODEL,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "usr/bin/nvpmodel").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "one.scanside", residual=0.01)
