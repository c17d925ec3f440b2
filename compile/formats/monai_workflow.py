"""The parts that MONAI's inference workflow lacks for this model.

A bundle that Scanside exported holds this file as scripts/workflow.py, and beside it those files of
Scanside's runtime that it needs: the pixels that come out are those of the runtime's engine on the
same network and ONNX Runtime. What it does not do: derived DICOM, the guard, the golden self-test.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from scanside.runtime.admission import admit
from scanside.runtime.dicom.read import DIRECTORY, NOT_DICOM, Image, read_image
from scanside.runtime.engines.onnxruntime import load_network
from scanside.runtime.errors import BundleIntegrityError, ImageError, NoImagesError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Manifest, decode_manifest
from scanside.runtime.tiling import run_tiled


def frames_in(folder: str) -> list[dict[str, Any]]:
    """Every frame of every DICOM image below a folder, as {"file", "frame", "name"}.

    Other files are passed over. Raises NoImagesError where there is no image, ImageError with the
    file's name for one that cannot be served: the workflow then writes nothing.
    """
    root = Path(folder)
    items = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            frames = len(_image(str(path)).facts)
        except ImageError as error:
            if error.reason in (NOT_DICOM, DIRECTORY):
                continue
            raise type(error)(
                f"{path.name}: {error.message}", next_step=error.next_step, reason=error.reason
            ) from None
        name = path.relative_to(root).as_posix()
        items += [
            {"file": str(path), "frame": frame, "name": f"{name}.{frame + 1:04}"}
            for frame in range(frames)
        ]
    if not items:
        raise NoImagesError("the folder holds no DICOM images", next_step="set dataset_dir")
    return items


class ReadFrame:
    """Transform: an item of `frames_in` -> one with "image" (1, R, C) float32 in [0, 1], what the
    network sees, and the stored frame: "words" (R, C) int32, "dtype", "facts" as JSON.

    manifest: path of the bundle's configs/manifest.json. Raises RefusedFrameError for a frame that
    is not for this model.
    """

    def __init__(self, manifest: str) -> None:
        self._manifest = _manifest(manifest)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        image = _image(item["file"])
        words, facts = image.words[item["frame"]], image.facts[item["frame"]]
        rows, columns = words.shape
        admit(self._manifest, facts, (rows, columns), words.dtype.name)
        unit = FrameMap(words, facts, self._manifest.intensity).unit(self._manifest.scale)
        return {
            **item,
            "image": torch.from_numpy(unit[np.newaxis]),
            "words": torch.from_numpy(words.astype(np.int32)),
            "dtype": words.dtype.name,
            "facts": msgspec.json.encode(facts).decode(),
        }


class OnnxNetwork(nn.Module):
    """models/model.onnx on ONNX Runtime's CPU kernels: (N, 1, H, W) -> (N, 1, H * s, W * s).

    member: the manifest's name for it. Raises BundleIntegrityError when the file is another.
    """

    def __init__(self, path: str, manifest: str, member: str, threads: int = 0) -> None:
        super().__init__()
        model = Path(path).read_bytes()
        if hashlib.sha256(model).hexdigest() != _manifest(manifest).members[member].sha256:
            raise BundleIntegrityError(
                "models/model.onnx is not what the manifest says", next_step="export it again"
            )
        self._network = load_network(model, threads)

    def forward(self, image: Tensor) -> Tensor:
        return torch.from_numpy(self._network(image.numpy(force=True)))


class InTiles(Inferer):  # type: ignore[misc]
    """Pads to the sizes that the network wants, and cuts large frames into tiles."""

    def __init__(self, manifest: str) -> None:
        super().__init__()
        self._manifest = _manifest(manifest)

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """inputs: (N, 1, R, C) float32 -> (N, 1, R * scale, C * scale)."""

        def run(piece: Any) -> Any:
            return network(torch.from_numpy(piece), *args, **kwargs).numpy()

        manifest = self._manifest
        residuals = [
            run_tiled(
                run,
                image,
                tile=manifest.sizes.tile,
                multiple_of=manifest.multiple_of,
                receptive_field=manifest.receptive_field,
                scale=manifest.scale,
            )
            for image in torch.as_tensor(inputs).numpy(force=True)[:, 0]
        ]
        return torch.from_numpy(np.stack(residuals)[:, np.newaxis])


class ApplyResidual:
    """Transform: "pred", the residual (1, R * s, C * s) -> the enhanced stored values, int32."""

    def __init__(self, manifest: str) -> None:
        self._manifest = _manifest(manifest)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        words = torch.as_tensor(item["words"]).numpy(force=True).astype(item["dtype"])
        facts = msgspec.json.decode(item["facts"], type=FrameFacts)
        frame = FrameMap(words, facts, self._manifest.intensity)
        residual = torch.as_tensor(item["pred"]).numpy(force=True)[0]
        result = frame.apply(residual, self._manifest.scale)
        return {**item, "pred": torch.from_numpy(result.astype(np.int32)[np.newaxis])}


class SaveFrame:
    """Transform: writes "pred" as NAME.npy below a folder, in the dtype of the stored frame.

    Derived DICOM needs what only Scanside writes: UIDs, provenance, geometry.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        path = self._folder / f"{item['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.as_tensor(item["pred"]).numpy(force=True)[0].astype(item["dtype"]))
        return item


@lru_cache(maxsize=1)  # the frames of one file come one after the other
def _image(path: str) -> Image:
    return read_image(Path(path))


def _manifest(path: str) -> Manifest:
    return decode_manifest(Path(path).read_bytes())
