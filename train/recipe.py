"""What a recipe is made of. Light to import: nothing here knows torch.

The structs say what is simulated and trained; `scanside.train.simulators` and
`scanside.train.models` do it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from scanside.runtime.manifest import Intensity

Span = tuple[float, float]
"""Lowest and highest; drawn from evenly."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a recipe's TOML."""


class LowDose(Part, frozen=True, kw_only=True, tag="low dose"):
    """How clean CT becomes low-dose CT (scanside.train.degradations.lowdose).

    sigma_hu: standard deviation in soft tissue. pixel_mm: of the phantoms; an image file brings its
    own. views: per half turn. cutoff: of the reconstruction kernel, in cycles per pixel: noise is
    as coarse or as fine as the scanner's kernel makes it, so this is where vendors differ.
    """

    sigma_hu: Span = (8.0, 60.0)
    cutoff: Span = (0.35, 0.6)
    pixel_mm: Span = (0.5, 1.1)
    views: int = 180
    realisations: int = 2


class Rician(Part, frozen=True, kw_only=True, tag="rician"):
    """Noise of a magnitude MR image (scanside.train.degradations.rician).

    percent: standard deviation of either channel, in percent of the image's 99th percentile.
    acquired: the central share of k-space that was measured on either axis, the rest being
    zero-filled: 1 is white noise, 0.5 the blotchy noise of a scanner that interpolates to twice the
    matrix.
    """

    percent: Span = (1.0, 12.0)
    acquired: Span = (0.7, 1.0)


class PhotonNoise(Part, frozen=True, kw_only=True, tag="photon noise"):
    """Poisson-Gaussian noise of a digital radiograph (scanside.train.degradations.radiograph).

    quanta: detected per pixel where the image is brightest; the fewer, the noisier. read_quanta:
    standard deviation of the electronics. blur: standard deviation of the scintillator's spread in
    pixels, which correlates neighbours.
    """

    quanta: Span = (200.0, 10000.0)
    read_quanta: float = 3.0
    blur: Span = (0.0, 0.7)


class Speckle(Part, frozen=True, kw_only=True, tag="speckle"):
    """Speckle of log-compressed ultrasound (scanside.train.degradations.speckle).

    looks: independent speckle patterns averaged (compounding); the fewer, the stronger.
    grain: standard deviations of the point spread in pixels, along a row and along a column.
    dynamic_range_db: what the stored range shows.
    """

    looks: Span = (1.0, 16.0)
    grain: tuple[Span, Span] = ((0.8, 2.0), (0.6, 1.2))
    dynamic_range_db: float = 60.0


class KSpaceTruncation(Part, frozen=True, kw_only=True, tag="k-space truncation"):
    """Half the resolution by cutting k-space (scanside.train.degradations.kspace), for 2x.

    percent: standard deviation of the noise that the coarse image has, in percent of its 99th
    percentile (CT: of 1000 HU).
    """

    percent: Span = (0.0, 1.0)


Degradation = LowDose | Rician | PhotonNoise | Speckle | KSpaceTruncation


class Augmentation(Part, frozen=True, kw_only=True):
    """How images from files are varied before they are degraded (phantoms vary by themselves).

    copies: of each image, the first as it is. degrees, scale: of a random affine map.
    bias_field: largest strength of a smooth multiplicative field, as a share (MR), or 0.
    """

    copies: int = 2
    degrees: float = 5.0
    scale: Span = (0.9, 1.1)
    bias_field: float = 0.0


class Lesions(Part, frozen=True, kw_only=True):
    """Low-contrast ellipses put into training patches (scanside.train.data.lesions).

    per_patch: fewest and most. radius: in pixels. percent: of contrast, either sign, in percent of
    1000 HU in CT, of the image's 99th percentile elsewhere.
    """

    per_patch: tuple[int, int] = (0, 5)
    radius: Span = (1.5, 10.0)
    percent: Span = (1.5, 10.0)


class UNetShape(Part, frozen=True, kw_only=True, tag="unet"):
    """Our U-Net (scanside.train.models.unet). widths: channels per level, full resolution first."""

    widths: tuple[int, ...] = (16, 32, 64)


class MonaiUNetShape(Part, frozen=True, kw_only=True, tag="monai unet"):
    """MONAI's residual-unit U-Net (scanside.train.models.monai_unet)."""

    widths: tuple[int, ...] = (16, 32, 64)
    units: int = 1


class SRNetShape(Part, frozen=True, kw_only=True, tag="sr net"):
    """The light 2x network (scanside.train.models.srnet): ReLU, pixel shuffle last."""

    width: int = 32
    blocks: int = 6


class SRGANShape(Part, frozen=True, kw_only=True, tag="srgan"):
    """The generator of the SRGAN paper (scanside.train.models.srgan): 9x9 head and tail, residual
    blocks, pixel shuffle 2x. prelu: as in the paper; False takes ReLU, which INT8 fuses."""

    width: int = 64
    blocks: int = 16
    prelu: bool = True


Shape = UNetShape | MonaiUNetShape | SRNetShape | SRGANShape


class Adversarial(Part, frozen=True, kw_only=True):
    """Training against a discriminator, after the pre-training on L1 (scanside.train.adversarial).

    steps_fraction: of `Recipe.steps`. weight: of the adversarial term beside L1.
    """

    steps_fraction: float = 1.0
    weight: float = 1e-3
    rate: float = 1e-4


Loss = Literal["l2", "l1", "l2 and contrast"]


class Recipe(Part, frozen=True, kw_only=True):
    """How a model is made. `steps` are optimiser steps of the float stage; the other stages are
    fractions of it, so that one number says how long training is. INT8 has to pass the gate at each
    of `heldout_levels` (in the degradation's unit): it does most harm where there is least noise to
    remove.

    importance, round_to: see scanside.train.prune. least_speedup: pruning that makes the
    network no faster than this is refused, whatever its MACs. phantom: which kind is painted.
    file_share: of the patches drawn from the user's files where there are any, the rest from
    phantoms. crop: side of a training patch, in pixels of the target. loss: see
    scanside.train.loss.penalty. ema: decay of the averaged weights, 0 for none. patience: stop the
    float stage early when the loss has not improved for so many tenths of it, 0 for never.
    """

    name: str
    description: str
    task: Literal["denoise", "super-resolution"]
    modality: tuple[str, ...]
    intensity: Intensity
    degradation: Degradation
    phantom: Literal["ct", "mr", "xray", "ultrasound"]
    serial: int
    version: str
    network: Shape = UNetShape()
    augmentation: Augmentation = Augmentation()
    lesions: Lesions | None = None
    adversarial: Adversarial | None = None
    phantoms: int = 128
    phantom_side: int = 256
    heldout_phantoms: int = 8
    heldout_levels: tuple[float, ...]
    file_share: float = 0.5
    crop: int = 96
    batch: int = 8
    steps: int = 6000
    learning_rate: float = 2e-3
    loss: Loss = "l2"
    ema: float = 0.0
    patience: int = 0
    mac_budget: float = 0.5
    importance: Literal["l1", "l2", "group", "taylor", "random"] = "group"
    round_to: int = 4
    least_speedup: float = 1.1
    finetune_fraction: float = 0.35
    finetune_rate: float = 1e-3
    qat_fraction: float = 0.4
    qat_rate: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        comparable = self.lesions is not None and self.scale == 1 and self.batch % 2 == 0
        if self.loss == "l2 and contrast" and not comparable:
            raise ValueError("loss 'l2 and contrast' needs [lesions], scale 1 and an even batch")

    @property
    def scale(self) -> int:
        """Pixels of the result for one of the input, either way."""
        return 2 if isinstance(self.degradation, KSpaceTruncation) else 1

    def changed(self, *, steps: int | None = None, seed: int | None = None) -> Recipe:
        """The recipe with another length (steps of the float stage) or seed, where given."""
        given = {"steps": steps, "seed": seed}
        return msgspec.structs.replace(self, **{k: v for k, v in given.items() if v is not None})
