"""A fake Jetson's tools that change something, and remember it: in the files that the real ones
change, or in a JSON file of the root's. Each call of one that changes something is written down.

`python stateful_tools.py ROOT TOOL ARGUMENTS...` is what the scripts in its usr/bin run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOLS = ("groupadd", "useradd", "usermod", "systemctl", "apt-mark", "nvpmodel", "dpkg-query")
ASKING = ("is-enabled", "is-active", "show", "-q", "-W")
STATE, CALLS = "var/fake/state.json", "var/fake/calls"


def blank_jetson(folder: Path, **changes: Any) -> Path:
    """A Jetson as it is after flashing."""
    from fake_jetsons.tree import make_jetson, write_script  # the tools start quicker without

    root = make_jetson(folder, provisioned=False, held=False, **changes)
    (root / "var/fake").mkdir(parents=True)
    (root / STATE).write_text(json.dumps({"held": [], "enabled": [], "mode": None, "read": ""}))
    (root / CALLS).touch()
    (root / "lib/systemd").mkdir(parents=True)
    (root / "lib/systemd/systemd-timesyncd").touch()
    write_script(root / "usr/bin/nmcli", "exit 1")
    for name in TOOLS:
        told = root / "usr/bin" / name
        if told.exists():
            told.rename(told.with_name(f"{name}.asked"))
        write_script(told, f'exec {sys.executable} -I -S {__file__} {root} {name} "$@"')
    return root


def installed(root: Path) -> Path:
    """The same with an application, which the tests of updates put there for real."""
    (root / "opt/scanside/versions/0.1.0-00000000").mkdir(parents=True)
    (root / "opt/scanside/current").symlink_to("versions/0.1.0-00000000")
    return root


def calls(root: Path) -> list[str]:
    """Every call of a tool that changes something, in order."""
    return (root / CALLS).read_text().splitlines()


def act(root: Path, tool: str, words: list[str]) -> int:
    state = json.loads((root / STATE).read_text())
    if not set(words) & set(ASKING):
        with (root / CALLS).open("a") as stream:
            stream.write(" ".join([tool, *words]) + "\n")
    code = globals()[f"_{tool.replace('-', '_')}"](root, state, words)
    (root / STATE).write_text(json.dumps(state))
    return int(code or 0)


def _groupadd(root: Path, state: dict[str, Any], words: list[str]) -> int:
    with (root / "etc/group").open("a") as stream:
        stream.write(f"{words[-1]}:x:998:\n")
    return 0


def _useradd(root: Path, state: dict[str, Any], words: list[str]) -> int:
    home, shell = (words[words.index(name) + 1] for name in ("--home-dir", "--shell"))
    with (root / "etc/passwd").open("a") as stream:
        stream.write(f"{words[-1]}:x:998:998:Scanside:{home}:{shell}\n")
    return 0


def _usermod(root: Path, state: dict[str, Any], words: list[str]) -> int:
    path = root / "etc/group"
    for group in words[words.index("--groups") + 1].split(","):
        pattern = re.compile(rf"^({group}:x:\d+:)(.*)$", re.MULTILINE)
        text = pattern.sub(
            lambda m: m[1] + ",".join(filter(None, (m[2], words[-1]))), path.read_text()
        )
        path.write_text(text)
    return 0


def _systemctl(root: Path, state: dict[str, Any], words: list[str]) -> int:
    verb, unit = words[0], words[-1]
    units = "\n".join(
        path.read_text()
        for path in sorted((root / "etc/systemd/system").rglob("*"))
        if path.is_file()
    )
    if verb == "is-enabled":
        print("enabled" if unit in state["enabled"] else "disabled")  # noqa: T201
    elif verb == "is-active":
        print("inactive")  # noqa: T201
    elif verb == "show":
        print("yes" if units != state["read"] else "no")  # noqa: T201
    elif verb == "enable":
        state["enabled"].append(unit)
        state["read"] = units
    elif verb == "daemon-reload":
        state["read"] = units
    return 0


def _apt_mark(root: Path, state: dict[str, Any], words: list[str]) -> int:
    state["held"] += words[1:]
    return 0


def _dpkg_query(root: Path, state: dict[str, Any], words: list[str]) -> int:
    done = _asked(root, "dpkg-query", words)
    for line in done.stdout.splitlines():
        name = line.split("\t")[1] if "\t" in line else ""
        print(line.replace("ii ", "hi ", 1) if name in state["held"] else line)  # noqa: T201
    return int(done.returncode)


def _nvpmodel(root: Path, state: dict[str, Any], words: list[str]) -> int:
    """Modes in var/fake/reboot are asked about; those in var/fake/deaf are taken and not set."""
    text = (root / "etc/nvpmodel.conf").read_text()
    names = re.findall(r"^< POWER_MODEL ID=\d+ NAME=(\S+) >", text, re.MULTILINE)
    if words[0] == "-q":
        mode = state["mode"]
        print(f"NV Power Mode: {names[mode]}\n{mode}" if mode is not None else _asked(  # noqa: T201
            root, "nvpmodel", words).stdout)  # fmt: skip
        return 0
    wanted = int(words[1])
    if _named(root, "reboot") == names[wanted] and sys.stdin.readline().strip() != "YES":
        print("NVPM WARN: Reboot required for changing to this power mode: enter YES")  # noqa: T201
        return 0
    if _named(root, "deaf") != names[wanted]:
        state["mode"] = wanted
    return 0


def _named(root: Path, what: str) -> str:
    path = root / "var/fake" / what
    return path.read_text().strip() if path.exists() else ""


def _asked(root: Path, tool: str, words: list[str]) -> Any:
    command = [str(root / "usr/bin" / f"{tool}.asked"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(act(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
