"""mypy over plan.py against stubs that are made from the genuine bindings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MAKE_STUBS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from contract import make_libraries
make_libraries(Path(sys.argv[2]), sys.argv[3])
"""
STUBGEN = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
WRONG = {
    "builder.build_serialized_network(": "builder.build_serialized_net(",
    "builder.create_optimization_profile()": "builder.create_profile()",
    "MemoryPoolType.WORKSPACE": "MemoryPoolType.WORKPLACE",
    "config.set_timing_cache(cache, False)": "config.set_timing_cache(False, cache)",
    "config.create_timing_cache(content)": "config.create_timing_cache()",
    "config.add_optimization_profile(profile) < 0": "config.add_optimization_profile(profile).bad",
    "inspector.get_engine_information(": "inspector.get_engine_info(",
    "step: int) -> bool:": "step: int, more: int) -> bool:",
}
CONFIGURATION = """
[mypy]
strict = true
namespace_packages = true
explicit_package_bases = true
warn_unused_ignores = false
disallow_untyped_calls = false
[mypy-tensorrt]
ignore_errors = true
"""
"""Untyped calls: what stubgen finds no signature of (OnnxParser.get_error) is test_contract's."""


@pytest.fixture(scope="module")
def stubs(bindings: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tensorrt`'s stubs, by mypy's stubgen from the docstrings of the bindings.

    What stubgen cannot know is put in: the module's own `bool` must not hide Python's, C's buffers,
    and the conversion of tuples to Dims, which pybind11 does without saying.
    """
    version, wheel = bindings
    folder = tmp_path_factory.mktemp("stubs")
    command = [sys.executable, "-c", MAKE_STUBS, str(Path(__file__).parent), str(folder)]
    subprocess.run([*command, version.partition(".")[0]], check=True)
    environment = dict(os.environ, PYTHONPATH=str(wheel), LD_LIBRARY_PATH=str(folder))
    command = [sys.executable, "-c", STUBGEN, "--inspect-mode", "--quiet"]
    command += ["-m", "tensorrt_bindings.tensorrt", "-o", str(folder)]
    subprocess.run(command, env=environment, check=True, timeout=120)
    text = (folder / "tensorrt_bindings" / "tensorrt.pyi").read_text()
    text = re.sub(r"^bool: DataType\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bbuffer\b", "typing_extensions.Buffer", text)
    text = re.sub(r"\b(min|opt|max): Dims(?=[,)])", r"\1: Dims | tuple[int, ...]", text)
    text = re.sub(r"( = \.\.\., \w+: [\w.]+)\)", r"\1 = ...)", text)  # no default after one
    text = text.replace("typing.SupportsInt", "int")  # it gives what it takes, to callbacks too
    buffer = "    def __buffer__(self, flags: int, /) -> memoryview: ...\n"
    text = text.replace("class IHostMemory:\n", f"class IHostMemory:\n{buffer}")
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.pyi").write_text(
        f"import typing_extensions\n__version__: str\n{text}"
    )
    (folder / "mypy.ini").write_text(CONFIGURATION)
    return folder


def check(stubs: Path, sources: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--config-file", str(stubs / "mypy.ini")]
    command += ["--cache-dir", str(stubs / "cache"), "-m", "scanside.compile.plan"]
    environment = dict(os.environ, MYPYPATH=f"{stubs}:{sources}")
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, cwd=stubs
    )


def test_every_call_has_the_types_that_the_bindings_say(
    stubs: Path, edited_plan: Callable[[str, str], Path]
) -> None:
    done = check(stubs, edited_plan("", ""))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("right", WRONG)
def test_a_wrong_call_is_a_type_error(
    stubs: Path, edited_plan: Callable[[str, str], Path], right: str
) -> None:
    done = check(stubs, edited_plan(right, WRONG[right]))
    assert done.returncode == 1, done.stderr
    assert re.search(r"plan\.py:\d+: error", done.stdout)


def test_nothing_of_tensorrt_is_unknown_to_the_check(
    stubs: Path, edited_plan: Callable[[str, str], Path]
) -> None:
    """The stubs are not so loose that everything passes: these types are known, not Any."""
    reveal = "    reveal_type((network, parser, config, profile, built, cache))\n    data = bytes"
    done = check(stubs, edited_plan("    data = bytes", reveal))
    kinds = "INetworkDefinition OnnxParser IBuilderConfig IOptimizationProfile IHostMemory "
    kinds += "ITimingCache"
    for kind in kinds.split():
        assert f"tensorrt.{kind}" in done.stdout, done.stdout
