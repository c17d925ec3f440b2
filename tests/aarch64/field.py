"""A field engineer's first hour, rehearsed: a blank arm64 system, the offline package, its page.

`python tests/aarch64/field.py BUNDLE KEY`: packs a signed package for the emulated system's Python,
dresses the system up as a Jetson Orin NX with JetPack 6.2 (files and tools of `fake_jetsons`), and
types what index.html says. There is no systemd, no GPU and no network in it, so the service is
started by its own command line. Prints each command and what it ended with.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from arm64_root import PYTHON, command_in, make_root  # noqa: E402
from fake_jetsons.tree import make_jetson  # noqa: E402

LIMIT_S = 600.0
DOCTOR_RED = 20  # there is no GPU in it
# PRoot 5.1 does not know the system call behind os.access, and lets it see the host's files.
SYSTEMCTL = """#!/bin/bash
# What systemd does for these commands, as far as a field engineer sees it.
mkdir -p /var/rehearsal
for unit; do :; done
case $1 in
enable) touch "/var/rehearsal/$unit" ;;
is-enabled) [ -e "/var/rehearsal/$unit" ] && echo enabled || { echo disabled; exit 1; } ;;
is-active) [ -e /var/rehearsal/started ] && echo active || { echo inactive; exit 3; } ;;
show) echo no ;;
start)
  set -a; . /etc/scanside/scanside.env; set +a
  mkdir -p /run/scanside
  line=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/scanside.service)
  eval "exec $line" >/var/rehearsal/out 2>/var/rehearsal/err &
  echo $! >/var/rehearsal/pid
  for _ in $(seq 120); do
    if grep -q ^ready: /var/rehearsal/out; then
      touch /var/rehearsal/started; cat /var/rehearsal/out; exit 0
    fi
    sleep 1
  done
  tail -n 5 /var/rehearsal/err; exit 1 ;;
esac
"""
ACCESS = """
import os

def _access(path, mode, **_):
    try:
        found = os.stat(path).st_mode
    except OSError:
        return False
    return not mode & os.X_OK or bool(found & 0o111)

os.access = _access
"""
PROC = ("device-tree", "meminfo")


def blank_device(root: Path, device: Path, fake: Path) -> list[str]:
    """A copy of `root` with a fake's files and tools, and what is to be seen in its /proc, /dev and
    /sys (binds of PRoot's)."""
    subprocess.run(["cp", "-a", str(root), str(device)], check=True)
    make_jetson(fake, l4t="36.4.3", provisioned=False, held=True, module="orin-nx-16gb")
    shutil.copytree(fake / "etc", device / "etc", dirs_exist_ok=True)
    for tool in (fake / "usr/bin").iterdir():
        if not tool.name.startswith("python"):
            shutil.copy(tool, device / "usr/bin" / tool.name)
    (device / f"etc/python{PYTHON}/sitecustomize.py").write_text(ACCESS)
    (device / "usr/bin/systemctl").write_text(SYSTEMCTL)
    # What useradd wants to find.
    (device / "etc/shadow").write_text("root:*:20000:0:99999:7:::\n")
    (device / "etc/gshadow").write_text("root:*::\n")
    (device / "root/usb").mkdir(parents=True, exist_ok=True)
    binds = [f"{fake}/proc/{name}:/proc/{name}" for name in PROC]
    binds += [f"{path}:/dev/{path.relative_to(fake / 'dev')}" for path in (fake / "dev").iterdir()]
    return binds


def typed(index: Path) -> list[str]:
    """The commands of the page's first code block."""
    block = re.search(r"<pre><code>(.*?)</code></pre>", index.read_text(), re.S)
    assert block is not None
    return block[1].replace("&amp;", "&").strip().splitlines()


def wait_for(flag: Path, daemon: subprocess.Popen[bytes]) -> int:
    """0 once the flag is there, else what the command ended with."""
    until = time.monotonic() + LIMIT_S
    while not flag.exists() and daemon.poll() is None and time.monotonic() < until:
        time.sleep(0.5)
    return 0 if flag.exists() else daemon.returncode or 1


def stop(device: Path, daemon: subprocess.Popen[bytes]) -> None:
    """PRoot takes no SIGTERM; the process in it does, and has the same id outside."""
    os.kill(int((device / "var/rehearsal/pid").read_text()), signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(20)
    daemon.kill()


def main(bundle: Path, key: Path) -> int:
    build = REPOSITORY / "build" / "aarch64"
    root = make_root(build / "root")
    with tempfile.TemporaryDirectory(prefix="field-", dir=build) as scratch:
        work = Path(scratch)
        command = [sys.executable, "-m", "scanside.jetson.package", "--jetpack", "6.2"]
        command += ["--python", PYTHON, "--key", str(key), "--bundle", str(bundle)]
        subprocess.run([*command, "--out", str(work)], check=True, cwd=REPOSITORY)
        [tar] = work.glob("*.tar")
        device = work / "device"
        binds = blank_device(root, device, work / "fake")
        shutil.copy(tar, device / "root/usb")
        folder, failed = "/root/usb", 0
        daemon: subprocess.Popen[bytes] | None = None
        # No sudo in it: whoever types is root already.
        (device / "usr/local/bin").mkdir(parents=True, exist_ok=True)
        (device / "usr/local/bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (device / "usr/local/bin/sudo").chmod(0o755)
        for line in typed(tar.with_suffix("") / "index.html"):
            began = time.monotonic()
            click.secho(f"$ {line}", bold=True)
            words = ["/bin/bash", "-c", f"{line}; code=$?; pwd >/root/pwd; exit $code"]
            call = command_in(device, *words, binds=binds, folder=folder)
            if "systemctl start" in line:
                # PRoot waits for the daemon too: it is left behind, and served from meanwhile.
                daemon = subprocess.Popen(call)
                code = wait_for(device / "var/rehearsal/started", daemon)
            else:
                code = subprocess.run(call, timeout=LIMIT_S, check=False).returncode
                folder = (device / "root/pwd").read_text().strip()
            failed += code not in ((0, DOCTOR_RED) if "doctor" in line else (0,))
            click.echo(f"  -> {code} in {time.monotonic() - began:.0f} s\n")
        if daemon is None or daemon.poll() is not None:
            return 1
        socket = f"ipc://{device}/run/scanside/scanside.sock"
        stream = [sys.executable, str(HERE / "stream.py"), socket, str(bundle)]
        subprocess.run([*stream, str(work / "out.npz"), "inline"], check=True, timeout=LIMIT_S)
        with np.load(work / "out.npz") as got:
            click.echo(f"served: {got['told']}")
        stop(device, daemon)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
