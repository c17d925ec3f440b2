"""The Triton repository in the hands of the genuine protobuf and of ONNX Runtime.

No Triton server exists here: not verified on one.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format

from bundles import write_test_bundle
from scanside.compile.formats.triton import MAX_BATCH, config_of, write_triton
from scanside.compile.formats.usage import MODELS, usage_of
from scanside.runtime.bundle import CPU_MODEL, MODEL, TRT_MODEL, Bundle
from scanside.runtime.errors import OutputExistsError
from scanside.runtime.manifest import Acceptance

CLIENT = "tritonclient==2.73.0"
"""BSD-3. Downloaded and not installed: it wants an older protobuf than the newest onnx gets."""
WARNING = 'a "small" disc \\ keeps 48% ± 2% of its contrast'
ACCEPTANCE = Acceptance(
    data="none", data_range=1.0, unit="HU", drift_limit_db=0.1, figures={}, warnings=(WARNING,)
)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """model_config_pb2 from NVIDIA's own wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), CLIENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{CLIENT} cannot be downloaded here: config.pbtxt not verified")
    with zipfile.ZipFile(wheels[0]) as wheel:
        source = wheel.extract("tritonclient/grpc/model_config_pb2.py", folder)
    spec = importlib.util.spec_from_file_location("model_config_pb2", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("bundle") / "model.scanside"
    return Bundle.open(
        write_test_bundle(path, residual="blur", scale=2, multiple_of=4, acceptance=ACCEPTANCE)
    )


def parsed(protocol: ModuleType, text: str):
    return text_format.Parse(text, protocol.ModelConfig())


@pytest.mark.parametrize("model", [CPU_MODEL, MODEL])
def test_the_config_agrees_with_the_network_as_onnx_runtime_loads_it(
    protocol, bundle, model, tmp_path
):
    folder = write_triton(bundle, model, tmp_path / "repository", False)
    config = parsed(protocol, (folder / "config.pbtxt").read_text())
    session = onnxruntime.InferenceSession(
        folder / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    assert config.name == folder.name == bundle.manifest.name
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == MAX_BATCH
    assert config.HasField("dynamic_batching")
    kinds = {"tensor(float)": protocol.TYPE_FP32}
    for told, there in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [one.name for one in told] == [one.name for one in there]
        assert [one.data_type for one in told] == [kinds[one.type] for one in there]
        assert isinstance(there[0].shape[0], str), "the batch is not free"
        free = [-1 if isinstance(length, str) else length for length in there[0].shape[1:]]
        assert list(told[0].dims) == free == [1, -1, -1]


def test_a_batch_of_the_largest_size_gives_what_single_frames_give(bundle, tmp_path):
    folder = write_triton(bundle, CPU_MODEL, tmp_path / "repository", False)
    session = onnxruntime.InferenceSession(
        folder / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    frames = np.random.default_rng(3).random((MAX_BATCH, 1, 36, 64), dtype=np.float32)
    (batch,) = session.run(None, {"image": frames})
    assert batch.shape == (MAX_BATCH, 1, 72, 128)
    for frame, result in zip(frames, batch, strict=True):
        (alone,) = session.run(None, {"image": frame[np.newaxis]})
        np.testing.assert_allclose(result, alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("model", "kind", "accelerators"),
    [(CPU_MODEL, "KIND_CPU", []), (MODEL, "", []), (TRT_MODEL, "KIND_GPU", ["tensorrt"])],
)
def test_each_network_is_placed_where_it_belongs(protocol, bundle, model, kind, accelerators):
    usage = usage_of(bundle, CPU_MODEL)
    config = parsed(protocol, config_of(type(usage)(**{**_fields(usage), "member": model})))
    groups = [protocol.ModelInstanceGroup.Kind.Name(one.kind) for one in config.instance_group]
    assert groups == ([kind] if kind else [])
    found = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert [one.name for one in found] == accelerators
    assert all(one.parameters["precision_mode"] == "INT8" for one in found)


def _fields(usage) -> dict:
    return {name: getattr(usage, name) for name in usage.__struct_fields__}


def test_warnings_and_caution_arrive_unharmed(protocol, bundle, tmp_path):
    folder = write_triton(bundle, CPU_MODEL, tmp_path / "repository", False)
    config = parsed(protocol, (folder / "config.pbtxt").read_text())
    told = {key: value.string_value for key, value in config.parameters.items()}
    assert told["scanside.warnings"] == WARNING
    assert "outside the bundle's signature" in told["scanside.caution"]
    assert told["scanside.not_verified"] == "not verified on a Triton server"
    assert told["scanside.identity"] == bundle.identity
    assert json.loads(told["scanside.intensity"])["type"] == "window"


def test_a_repository_holds_several_models_and_each_is_replaced_alone(bundle, tmp_path):
    repository = tmp_path / "repository"
    (repository / "other" / "1").mkdir(parents=True)
    write_triton(bundle, CPU_MODEL, repository, False)
    with pytest.raises(OutputExistsError):
        write_triton(bundle, MODEL, repository, False)
    folder = write_triton(bundle, MODEL, repository, True)
    assert (folder / "1" / "model.onnx").read_bytes() == bundle.member(MODEL)
    assert json.loads((folder / "scanside.json").read_bytes())["member"] == MODEL
    assert sorted(one.name for one in repository.iterdir()) == ["other", bundle.manifest.name]


def test_every_choice_of_the_command_line_names_a_member():
    assert sorted(MODELS.values()) == sorted((CPU_MODEL, MODEL, TRT_MODEL))
