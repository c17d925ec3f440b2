"""torch-tensorrt cannot run here: its absence is told, and our calls fit its genuine signature."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scanside.benchmarks import torch_tensorrt
from scanside.runtime.cli import main
from scanside.runtime.errors import EngineUnavailableError

VERSIONS = ("2.13.0", "2.14.0")
"""That of our torch, and the next."""


@pytest.fixture(scope="module", params=VERSIONS)
def wheel(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"torch-tensorrt=={request.param}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"torch-tensorrt {request.param} cannot be downloaded for this Python here")
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.endswith(".py")])
    return folder / "torch_tensorrt"


def genuine_signature(wheel: Path) -> inspect.Signature:
    """Of torch_tensorrt.dynamo.compile, read from its source, its **kwargs left out: what it takes
    by name is what it knows."""
    exports = ast.parse((wheel / "dynamo" / "__init__.py").read_text())
    assert any(
        isinstance(node, ast.ImportFrom)
        and node.module in ("_compiler", "torch_tensorrt.dynamo._compiler")
        and "compile" in [alias.name for alias in node.names]
        for node in ast.walk(exports)
    )
    tree = ast.parse((wheel / "dynamo" / "_compiler.py").read_text())
    (found,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "compile"]
    kinds = inspect.Parameter
    free = len(found.args.args) - len(found.args.defaults)
    parameters = [
        kinds(a.arg, kinds.POSITIONAL_OR_KEYWORD, default=kinds.empty if i < free else None)
        for i, a in enumerate(found.args.args)
    ]
    parameters += [kinds(a.arg, kinds.KEYWORD_ONLY, default=None) for a in found.args.kwonlyargs]
    return inspect.Signature(parameters)


def stand_in(signature: inspect.Signature) -> SimpleNamespace:
    """A library that takes the calls which the genuine one takes, and compiles nothing."""

    def compile_(*positional, **named):
        bound = signature.bind(*positional, **named)
        program = bound.arguments["exported_program"]
        assert isinstance(program, torch.export.ExportedProgram)
        whole = torch.nn.Module()
        whole.add_module("_run_on_acc_0", program.module())
        whole.forward = lambda image: whole.get_submodule("_run_on_acc_0")(image)
        return whole

    return SimpleNamespace(dynamo=SimpleNamespace(compile=compile_))


def test_every_network_goes_through_the_genuine_signature(wheel, tiny_run):
    from scanside.train.run import Run

    found = torch_tensorrt.measure_gpu(
        Run(tiny_run), stand_in(genuine_signature(wheel)), torch.device("cpu"), side=64, rounds=3
    )
    assert next(iter(found)) == torch_tensorrt.EAGER
    assert len(found) == 4
    for name, row in found.items():
        assert row.difference < 1e-5, name
        assert row.latency.p50 > 0
        assert (row.engines, row.pieces) == ((0, 1) if name == torch_tensorrt.EAGER else (1, 0))


def test_pieces_are_named_as_we_count_them(wheel):
    text = "".join(path.read_text() for path in (wheel / "dynamo" / "partitioning").glob("*.py"))
    assert f'"{torch_tensorrt.ENGINE}' in text
    assert f'"{torch_tensorrt.REST}_' in text


def test_it_knows_no_rounding_but_modelopts(wheel):
    """Why the INT8 network's latency there is not INT8's. When this fails, look again."""
    text = (wheel / "dynamo" / "conversion" / "aten_ops_converters.py").read_text()
    assert "torch.ops.tensorrt.quantize_op" in text
    assert "quantized_decomposed" not in text


@pytest.mark.skipif(find_spec("torch_tensorrt") is not None, reason="torch-tensorrt is here")
def test_without_it_the_verb_says_what_to_install(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "torch-tensorrt", str(tmp_path)])
    assert ended.value.code == EngineUnavailableError.exit_code
    text = capfd.readouterr().err
    assert "torch-tensorrt is not installed" in text
    assert "  next: " in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_library_that_is_there_is_not_imported_without_a_gpu(tmp_path, monkeypatch):
    (tmp_path / "torch_tensorrt.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineUnavailableError, match="no NVIDIA GPU"):
        torch_tensorrt.load_library()
