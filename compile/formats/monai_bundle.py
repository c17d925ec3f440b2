"""A MONAI bundle: metadata, an inference workflow that runs, the network, and the scripts it needs.

Laid out as MONAI's bundle specification asks, with models/model.onnx in the place of model.pt: the
network is INT8, and there is no float state dictionary that would be it.
"""

from __future__ import annotations

import json
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import msgspec

from scanside.compile.formats.folder import new_folder, write
from scanside.compile.formats.self_contained import package_of
from scanside.compile.formats.usage import CARD, Usage, usage_of
from scanside.runtime.bundle import CPU_MODEL, MANIFEST, Bundle
from scanside.runtime.manifest import Manifest

SCRIPTS = "scanside.compile.formats.monai_workflow"
IGNITE = "0.5.5"
"""The pytorch-ignite that the workflow was run with; MONAI takes 0.4.11 and later."""
NOT_VERIFIED = ("not verified on a GPU: the workflow runs ONNX Runtime's CPU kernels",)


def write_monai(bundle: Bundle, member: str, out: Path, force: bool) -> Path:
    """The folder `out`; returns it. Raises OutputExistsError where it is there, unless `force`."""
    usage = usage_of(bundle, member, NOT_VERIFIED)
    texts = {
        "configs/metadata.json": _as_json(metadata_of(bundle.manifest, usage)),
        "configs/inference.json": _as_json(workflow_of(member)),
        "docs/README.md": readme_of(bundle.manifest, usage),
        "LICENSE": _licence(),
        **{f"scripts/{name}": text for name, text in package_of(SCRIPTS, "workflow").items()},
    }
    with new_folder(out, force) as made:
        write(made / "models/model.onnx", bundle.member(member))
        write(made / "configs" / MANIFEST, bundle.member(MANIFEST))
        write(made / CARD, usage.encode())
        for name, text in texts.items():
            write(made / name, text.encode())
    return out


def metadata_of(manifest: Manifest, usage: Usage) -> dict[str, Any]:
    """configs/metadata.json: MONAI's keys from the manifest, and the card under "scanside"."""
    shape = f"{manifest.multiple_of} * n"
    larger = f"{manifest.multiple_of * manifest.scale} * n"
    tensor = {"type": "image", "format": "magnitude", "num_channels": 1, "is_patch_data": False}
    warnings = "".join(f" WARNING: {warning}." for warning in usage.warnings)
    return {
        "schema": manifest.schema,
        "version": manifest.version,
        "changelog": manifest.changelog,
        "monai_version": manifest.monai_version,
        "pytorch_version": manifest.pytorch_version,
        "numpy_version": manifest.numpy_version,
        "required_packages_version": {
            **manifest.required_packages_version,
            "msgspec": version("msgspec"),
            "pydicom": version("pydicom"),
            "pytorch-ignite": IGNITE,
        },
        "task": manifest.task,
        "description": manifest.description,
        "authors": manifest.authors,
        "copyright": manifest.copyright,
        "data_type": "dicom",
        "eval_metrics": manifest.acceptance.figures if manifest.acceptance else {},
        "intended_use": f"Research. {usage.caution}{warnings}",
        "network_data_format": {
            "inputs": {
                "image": {
                    **tensor,
                    "modality": "/".join(manifest.modality),
                    "dtype": "float32",
                    "spatial_shape": [shape, shape],
                    "value_range": [0, 1],
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    **tensor,
                    "dtype": "float32",
                    "spatial_shape": [larger, larger],
                    "value_range": [-1, 1],
                    "channel_def": {"0": "residual"},
                }
            },
        },
        "scanside": msgspec.to_builtins(usage),
    }


def workflow_of(member: str) -> dict[str, Any]:
    """configs/inference.json: DICOM below `dataset_dir` -> stored frames as .npy in `output_dir`.

    Its keys are those that MONAI asks of an inference workflow (`monai.bundle.properties`).
    """

    def part(name: str, **arguments: object) -> dict[str, object]:
        return {"_target_": f"scripts.workflow.{name}", **arguments}

    return {
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "manifest": f"$@bundle_root + '/configs/{MANIFEST}'",
        "threads": 0,
        "device": "$torch.device('cpu')",
        "network_def": part(
            "OnnxNetwork",
            path="$@bundle_root + '/models/model.onnx'",
            manifest="@manifest",
            member=member,
            threads="@threads",
        ),
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [part("ReadFrame", manifest="@manifest")],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": part("frames_in", folder="@dataset_dir"),
            "transform": "@preprocessing",
        },
        # One by one: the frames of a folder need not be of one size.
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": part("InTiles", manifest="@manifest"),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                part("ApplyResidual", manifest="@manifest"),
                part("SaveFrame", folder="@output_dir"),
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network_def",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def readme_of(manifest: Manifest, usage: Usage) -> str:
    """docs/README.md."""
    warnings = [f"- **Warning**: {warning}" for warning in usage.warnings]
    steps = [f"{place}. {step}" for place, step in enumerate(usage.steps, 1)]
    lines = [
        f"# {usage.name} {usage.version}",
        "",
        manifest.description,
        "",
        f"- **Caution**: {usage.caution}",
        *warnings,
        *(f"- {one}" for one in usage.not_verified),
        f"- Exported by {usage.exported_by} from the bundle {usage.identity}; "
        f"models/model.onnx is its {usage.member}.",
        f"- Weights: {manifest.copyright or 'no licence stated'}. "
        "Scripts: Apache-2.0, see LICENSE.",
        "",
        "## Run",
        "",
        "```sh",
        "pip install 'monai[ignite,fire]' onnxruntime pydicom msgspec",
        "python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\",
        "  --dataset_dir /path/to/dicom --output_dir /path/to/results",
        "```",
        "",
        "Each frame becomes NAME.FRAME.npy: stored values in the dtype of the file. The scripts "
        f"are those of Scanside's runtime: {_same(usage.member)}. Compressed DICOM needs what "
        "pydicom lists for it. What this bundle does not do: write derived DICOM, refuse a result "
        "that changes too much, test itself on golden frames, verify a signature.",
        "",
        "## What happens to a frame",
        "",
        *steps,
    ]
    return "\n".join(lines) + "\n"


def _same(member: str) -> str:
    if member == CPU_MODEL:
        return (
            "on the same ONNX Runtime the pixels are those of `scanside enhance --engine "
            "onnxruntime`"
        )
    return f"`scanside enhance` runs {CPU_MODEL}, though, and {member} rounds otherwise"


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _licence() -> str:
    """Apache-2.0, as this installation carries it."""
    files = distribution("scanside").files or []
    found = [file for file in files if file.name == "LICENSE"]
    return str(found[0].locate().read_text())  # type: ignore[attr-defined]
