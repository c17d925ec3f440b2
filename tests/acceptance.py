"""A made-up Jetson with power modes, and `device verify` run on it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from click.testing import CliRunner, Result

from scanside.jetson.cli import device as verbs
from scanside.jetson.verify.record import Evidence
from scanside.jetson.verify.sealed import open_sealed

NVPMODEL = """#!/bin/sh
here=$(dirname "$(dirname "$(dirname "$0")")")
case "$1" in
  -q) n=$(cat "$here/run/mode")
      name=$(sed -n "s/< POWER_MODEL ID=$n NAME=\\(.*\\) >/\\1/p" "$here/etc/nvpmodel.conf")
      echo "NV Power Mode: $name"; echo "$n" ;;
  -m) echo "$2" >> "$here/run/asked"
      test "$2" = 4 && { read answer; echo "reboot? $answer" >> "$here/run/asked"; exit 0; }
      echo "$2" > "$here/run/mode" ;;
esac
"""
MODES = {"MAXN_SUPER": 0, "10W": 1, "15W": 2, "25W": 3, "40W": 4}


def words(root: Path, bundle: Path, out: Path, *more: object) -> list[str]:
    said = ["verify", str(bundle), "--root", str(root), "--out", str(out), "--allow-unsigned"]
    said += ["--engine", "onnxruntime", "--threads", "1", "--frames", "10"]
    return [*said, "--pauses", "2", "--soak-minutes", "0.02", *map(str, more)]


def run(root: Path, bundle: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(verbs, words(root, bundle, out, *more))


def found(out: Path) -> tuple[Path, Evidence]:
    (file,) = out.glob("*.json")
    return file, open_sealed(file, []).evidence


class PageText(HTMLParser):
    """Its words, and that every table's rows and cells are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("table", "tr", "td", "svg"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("table", "tr", "td", "svg"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
