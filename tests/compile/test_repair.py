"""A network that INT8 spoils: refused, its layer named, mended with no layer more than needed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchao.quantization.pt2e as pt2e
from click.testing import CliRunner

from scanside.compile.build import compile_run
from scanside.compile.cli import compile_
from scanside.compile.graph import Graph
from scanside.compile.sensitivity import LayerGain, repair
from scanside.compile.unrounded import return_to_float
from scanside.compile.walk import walk
from scanside.runtime.bundle import MODEL, REPORT, TRT_MODEL, Bundle
from scanside.runtime.engines import onnxruntime
from scanside.runtime.errors import ArchitectureError, GateError, RunFolderError
from scanside.runtime.intensity import FrameMap
from scanside.train.heldout import load_cases
from scanside.train.manifest import draft_manifest
from scanside.train.models import fuse_batch_norm
from scanside.train.qat import as_network, prepare
from scanside.train.run import QAT, Run
from scanside.train.stages import load_float
from tiny import TINY

SCALED, FEEDS = "decoders.0.0", "decoders.0.3"
FACTOR = 64


def quietly(line: str) -> None:
    pass


def rounded_without_training(source: Path, folder: Path, factor: float) -> Run:
    """The run with one channel of `SCALED` times `factor`, undone in `FEEDS`: in float the same
    network. Its ranges are read off the held-out cases."""
    shutil.copytree(source, folder)
    run = Run(folder)
    network = fuse_batch_norm(load_float(run, "pruned"))
    trained = run.state(QAT)
    network.load_state_dict({name: trained[name] for name in network.state_dict()})
    layers = dict(network.named_modules())
    with torch.no_grad():
        layers[SCALED].weight[1] *= factor
        layers[SCALED].bias[1] *= factor
        layers[FEEDS].weight[:, 1] /= factor
    prepared = prepare(network)
    pt2e.move_exported_model_to_eval(prepared)
    prepared.apply(pt2e.disable_fake_quant)
    draft = draft_manifest(TINY, network)
    with torch.no_grad():
        for case in load_cases(run.heldout):
            unit = FrameMap(case.degraded, case.facts, draft.intensity).unit(1)
            prepared(torch.from_numpy(unit)[None, None])
    prepared.apply(pt2e.enable_fake_quant)
    prepared.apply(pt2e.disable_observer)
    torch.save({"model": prepared.state_dict()}, run.checkpoint(QAT))
    return run


@pytest.fixture(scope="module")
def spoilt(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoilt") / "run"
    return rounded_without_training(tiny_run, folder, FACTOR).folder


def test_a_spoilt_channel_is_refused_and_its_layer_named(spoilt, tmp_path):
    with pytest.raises(GateError, match=r"model\.onnx lost") as caught:
        compile_run(spoilt, tmp_path / "out.scanside", quietly)
    assert f"INT8 costs most in {FEEDS}" in caught.value.next_step
    assert "--repair" in caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    page = (tmp_path / "out.html").read_text()
    assert "refused" in page
    assert page.index(f"<td>{FEEDS}</td>") < page.index(f"<td>{SCALED}</td>")


def test_repair_returns_that_layer_alone_to_float(spoilt, tmp_path):
    out = tmp_path / "out.scanside"
    result = CliRunner().invoke(compile_, [str(spoilt), "--out", str(out), "--repair"])
    assert result.exit_code == 0, result.output
    assert f"returned to float: {FEEDS}\n" in result.output
    bundle = Bundle.open(out)
    report = json.loads(bundle.member(REPORT))
    assert report["returned_to_float"] == [FEEDS]
    assert report["sensitivity"][0]["name"] == FEEDS
    integer = {layer.name: layer.integer for layer in walk(Graph(bundle.member(MODEL)))}
    assert not integer[FEEDS]
    assert integer[SCALED]
    assert bundle.manifest.acceptance is not None
    assert FEEDS in bundle.manifest.acceptance.warnings[0]


def test_the_same_network_unspoilt_passes(tiny_run, tmp_path):
    run = rounded_without_training(tiny_run, tmp_path / "run", 1.0)
    compile_run(run.folder, tmp_path / "out.scanside", quietly)


def test_all_layers_returned_are_the_float_network(tiny_run, tiny_bundle):
    model = Bundle.open(tiny_bundle).member(MODEL)
    trained = Run(tiny_run).state(QAT)
    weights = {
        layer.name: trained[f"{layer.name}.weight"].numpy()
        for layer in walk(Graph(model))
        if layer.integer
    }
    bare = return_to_float(model, weights)
    kinds = {node.op_type for node in Graph(bare).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
    network = fuse_batch_norm(load_float(Run(tiny_run), "pruned"))
    network.load_state_dict({name: trained[name] for name in network.state_dict()})
    image = np.random.default_rng(0).random((1, 1, 64, 96), dtype=np.float32)
    assert onnxruntime.load_network(bare, 1)(image) == pytest.approx(
        as_network(network)(image), abs=1e-5
    )


def test_others_go_on_reading_what_was_rounded(tiny_bundle):
    """encoders.1.0 reads the pooled skip; decoders.0.0 reads the same skip joined."""
    model = Bundle.open(tiny_bundle).member(MODEL)
    graph = Graph(model)
    name = "encoders.1.0"
    (node,) = [one for one in graph.convolutions if graph.layer(one) == name]
    codes, scale = (graph.array(one) for one in graph.makers[node.input[1]].input[:2])
    mended = Graph(return_to_float(model, {name: codes * scale[:, None, None, None]}))
    integer = {layer.name: layer.integer for layer in walk(mended)}
    assert integer == {layer.name: layer.integer and layer.name != name for layer in walk(graph)}
    pools = [one for one in mended.graph.node if one.op_type == "MaxPool"]
    assert len(pools) == 1
    assert mended.makers[pools[0].input[0]].op_type == "Relu"


def test_repair_gives_back_what_turns_out_unnecessary():
    table = [LayerGain(name=name, gain=gain) for name, gain in (("a", 3.0), ("b", 2.0), ("c", 1.0))]
    asked = []

    def rank(chosen):
        return [one for one in table if one.name not in chosen]

    def passes(chosen):
        asked.append(tuple(chosen))
        return {"b", "c"} <= set(chosen)

    assert repair(table, rank, passes) == ("b", "c")
    assert repair(table, rank, lambda chosen: False) == ()
    assert asked[:3] == [("a",), ("a", "b"), ("a", "b", "c")]


def test_weights_that_are_not_finite_are_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    run = Run(tmp_path / "run")
    state = run.state(QAT)
    next(iter(state.values())).view(-1)[0] = float("nan")
    torch.save({"model": state}, run.checkpoint(QAT))
    with pytest.raises(RunFolderError, match="not finite"):
        compile_run(run.folder, tmp_path / "out.scanside", quietly)
    assert not list(tmp_path.glob("out*"))


def test_a_float_checkpoint_is_no_int8_one(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    run = Run(tmp_path / "run")
    shutil.copy(run.checkpoint("control"), run.checkpoint(QAT))
    with pytest.raises(ArchitectureError, match=r"qat\.pt is not the quantisation-aware"):
        compile_run(run.folder, tmp_path / "out.scanside", quietly)


def test_the_file_for_tensorrt_ships(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    report = json.loads(bundle.member(REPORT))
    assert TRT_MODEL in bundle.names
    assert report["cpu"]["ratio"] > 0
    drift = report["gate"]["engines"]
    assert abs(drift[TRT_MODEL]["drift"] - drift[MODEL]["drift"]) <= 0.02
