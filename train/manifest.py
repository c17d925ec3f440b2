"""What a recipe and its network say in a bundle's manifest, before anything is compiled."""

from __future__ import annotations

from importlib.metadata import version

from scanside.runtime.manifest import Manifest, Provenance, Sizes, Tolerance
from scanside.train.models.network import Network
from scanside.train.recipe import Recipe

TILE = 1024


def draft_manifest(
    recipe: Recipe, model: Network, data_digest: str = "", code_version: str = ""
) -> Manifest:
    """A manifest with no members and no verdict yet: `compile` fills them in."""
    shape = ["n", 1, "h", "w"]
    pixels = {"type": "image", "num_channels": 1, "dtype": "float32"}
    larger = [f"{side} * {recipe.scale}" if recipe.scale > 1 else side for side in shape[2:]]
    return Manifest(
        version=recipe.version,
        changelog={recipe.version: "trained by scanside"},
        monai_version=version("monai"),
        pytorch_version=version("torch"),
        numpy_version=version("numpy"),
        required_packages_version={"onnxruntime": version("onnxruntime")},
        task=recipe.task,
        description=recipe.description,
        authors="Scanside",
        copyright="Apache-2.0",
        network_data_format={
            "inputs": {
                "image": {
                    **pixels,
                    "spatial_shape": shape[2:],
                    "format": "magnitude",
                    "modality": "/".join(recipe.modality),
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "residual": {
                    **pixels,
                    "spatial_shape": larger,
                    "format": "magnitude",
                    "value_range": [-1, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "residual"},
                }
            },
        },
        name=recipe.name,
        modality=recipe.modality,
        scale=recipe.scale,
        multiple_of=model.multiple_of,
        receptive_field=model.receptive_field,
        sizes=Sizes(tile=TILE),
        intensity=recipe.intensity,
        tolerance=Tolerance(largest=1.0, p999=1.0, psnr_floor=1.0, data_range=1.0),
        serial=recipe.serial,
        provenance=Provenance(
            recipe=recipe.name,
            seed=recipe.seed,
            data_digest=data_digest,
            code_version=code_version,
        ),
        members={},
    )
