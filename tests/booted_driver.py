"""What is done inside the booted container of `booted.py`, by root, with the real systemd as PID 1.

`python booted_driver.py RESULTS PYTHON`: writes RESULTS/facts.json, a fact a name. Judges nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

UNIT = "scanside.service"
ENV = Path("/etc/scanside/scanside.env")
CLIENT = """
import json, numpy as np
from scanside.runtime import Client, FrameFacts
facts = FrameFacts(modality="CT", bits_stored=16, signed=False)
frame = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
with Client("ipc:///run/scanside/scanside.sock") as client:
    result = client.enhance(frame, facts, deadline_ms=5000)
    shared = open("/proc/self/maps").read().count("memfd:scanside")
print(json.dumps([result.outcome, result.model, shared, bool((result.pixels == frame).all())]))
"""


def ran(*words: str, seconds: float = 120.0) -> list[Any]:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return [done.returncode, done.stdout, done.stderr[-4000:]]


def shown(name: str) -> str:
    return str(ran("systemctl", "show", "--value", f"--property={name}", UNIT)[1]).strip()


def wait_for(name: str, value: str, seconds: float = 60.0) -> str:
    until = time.monotonic() + seconds
    while shown(name) != value and time.monotonic() < until:
        time.sleep(0.2)
    return shown(name)


def as_user(user: str, *words: str) -> list[Any]:
    return ran("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *words)


def in_sandbox(*words: str, user: str = "") -> int:
    """Exit status of a program that sees the files that the daemon sees; as root, whom only the
    sandbox stops, or as its user."""
    drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups") if user else ()
    return int(ran("nsenter", "-t", shown("MainPID"), "-m", "--", *drop, *words)[0])


def main(results: Path, python: str) -> None:
    facts: dict[str, Any] = {}
    for name in ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH"):
        os.environ.pop(name)  # of this Python's own, which the system's tools do not want
    scanside = (python, "-m", "scanside.runtime")
    provision = (*scanside, "device", "provision", "--time-server", "192.0.2.1", "--json")
    try:
        facts["dry run"] = ran(*provision, "--dry-run")
        facts["no user yet"] = ran("id", "scanside")[0]
        facts["first"], facts["second"] = ran(*provision), ran(*provision)
        facts["command"] = ran("sh", "-lc", "scanside --version")
        facts["verify"] = ran("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
        facts["holds"] = ran("apt-mark", "showhold")[1].split()
        facts["password"] = ran("passwd", "--status", "scanside")[1].split()[1:2]
        facts["started empty"] = [ran("systemctl", "start", UNIT)[0], shown("ActiveState")]
        Path("/etc/scanside/trust/release.pub").write_bytes((results / "release.pub").read_bytes())
        facts["install"] = ran(*scanside, "device", "install", str(results / "a.scanside"))
        facts["start"] = ran("systemctl", "start", UNIT)
        facts["status text"] = wait_for("StatusText", "READY")
        ran("useradd", "--groups", "scanside", "console")
        ran("useradd", "stranger")
        facts["console"] = as_user("console", python, "-c", CLIENT)
        facts["stranger"] = as_user("stranger", python, "-c", CLIENT)
        facts["swap"] = ran(*scanside, "device", "install", str(results / "b.scanside"))
        facts["console after the swap"] = as_user("console", python, "-c", CLIENT)
        facts["reload"] = ran("systemctl", "reload", UNIT)
        facts["restarts before"] = shown("NRestarts")
        status = Path(f"/proc/{shown('MainPID')}/status").read_text()
        facts["process"] = dict(
            re.findall(r"^(Uid|NoNewPrivs|Seccomp|CapBnd):\s+(\S+)", status, re.M)
        )
        facts["limits"] = Path(f"/proc/{shown('MainPID')}/limits").read_text()
        facts["may write"] = {
            name: in_sandbox("sh", "-c", f"echo > {name}/try && rm {name}/try") == 0
            for name in ("/var/lib/scanside", "/var/cache/scanside", "/run/scanside", "/tmp",
                         "/etc/scanside", "/opt/scanside", "/var/log/scanside", "/usr/lib", "/home")
        }  # fmt: skip
        facts["may read"] = {
            name: in_sandbox("sh", "-c", f"head -c1 {name} >/dev/null", user="scanside") == 0
            for name in ("/sys/kernel/mm/transparent_hugepage/enabled", "/proc/meminfo",
                         "/etc/scanside/trust/release.pub", "/etc/shadow")
        }  # fmt: skip
        facts["devices"] = shown("DeviceAllow").splitlines()
        os.kill(int(shown("MainPID")), 19)  # SIGSTOP: it hangs
        hung = time.monotonic()
        wait_for("NRestarts", "1")
        facts["watchdog"] = [shown("NRestarts"), round(time.monotonic() - hung, 1)]
        for _ in range(20):  # until the model is there, frames are bypassed
            facts["console after the restart"] = as_user("console", python, "-c", CLIENT)
            if "enhanced" in facts["console after the restart"][1]:
                break
            time.sleep(1)
        ENV.write_text(ENV.read_text() + "SCANSIDE_KEYS=/etc/scanside/nowhere\n")
        ran("systemctl", "restart", UNIT)
        time.sleep(4)
        facts["bad keys"] = [shown("ActiveState"), shown("ExecMainStatus"), shown("NRestarts")]
        facts["settings"] = ran(*provision)
    except Exception as error:  # noqa: BLE001 - whoever reads the facts judges
        facts["broke"] = repr(error)
    facts["journal"] = ran("journalctl", "-u", UNIT, "--no-pager", "-o", "cat")[1][-20000:]
    (results / "facts.json").write_text(json.dumps(facts))
    ran("systemctl", "poweroff")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
