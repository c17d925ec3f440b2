"""What README promises is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import REPOSITORY

from scanside.runtime.cli import scanside

README = (REPOSITORY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def test_the_python_example_runs_against_a_daemon(tiny_bundle):
    from scanside.benchmarks.served import serving

    (example,) = blocks("python")
    with serving(tiny_bundle, "--allow-unsigned", "--threads", "2") as url:
        done = subprocess.run(
            [sys.executable, "-c", example.replace("tcp://127.0.0.1:5555", url)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert re.fullmatch(r"enhanced \(512, 512\) \d+ ms\n", done.stdout)


def test_the_example_is_short():
    (example,) = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 11


def test_make_verbs_exist():
    listed = subprocess.run(
        ["make", "-s", "-C", str(REPOSITORY)], capture_output=True, text=True, check=True
    ).stdout
    for verb in re.findall(r"(?:^|`)make\s+([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{verb} ", listed, re.MULTILINE), verb


@pytest.mark.parametrize("line", [c for c in commands() if re.search(r"\bscanside ", c)])
def test_commands_and_their_options_exist(line):
    bare = line.removeprefix("SCANSIDE_TRUST=keys ").removeprefix("sudo ")
    _, verb, *arguments = shlex.split(bare)
    verbs = [verb, arguments[0]] if verb in ("bench", "device", "keys", "study") else [verb]
    result = CliRunner().invoke(scanside, [*verbs, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example:" in result.output
    for argument in arguments:
        if argument.startswith("--"):
            assert argument in result.output


def test_the_hand_made_path_works(tiny_run, tiny_bundle, tmp_path, data_dir):
    """inspect, enhance, serve and send as README has them, on a real slice."""
    from scanside.benchmarks.served import serving

    scans = tmp_path / "scans"
    scans.mkdir()
    source = data_dir / "ct_ge_hispeed_dual" / "14.dcm"
    (scans / "14.dcm").symlink_to(source)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "scanside.runtime", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "tiny-ct" in run("inspect", str(tiny_bundle))
    run("enhance", str(tiny_bundle), str(scans), str(tmp_path / "enhanced"), "--engine", "openvino")
    with serving(tiny_bundle, "--allow-unsigned", "--engine", "openvino") as url:
        run("send", str(scans), "--to", url, "--out", str(tmp_path / "sent"))
    from pydicom import dcmread

    here, there = (dcmread(tmp_path / name / "14.dcm") for name in ("enhanced", "sent"))
    assert here.PixelData == there.PixelData
    assert here.PixelData != dcmread(source).PixelData
    assert here.ImageType[0] == "DERIVED"
