"""Low-dose CT denoising, any body part, blind to the noise level."""

from scanside.runtime.manifest import Window
from scanside.train.recipes import LowDose, Recipe

RECIPE = Recipe(
    name="denoise-ct",
    description="U-Net that removes low-dose noise from axial CT",
    task="denoise",
    modality=("CT",),
    # The margin is over four standard deviations of the largest training noise (60 HU): no noise
    # carries a pixel from the window beyond it, so nothing there is the model's to change.
    window=Window(lower=-1000.0, upper=1000.0, margin=320.0),
    noise=LowDose(),
    serial=1,
    version="0.1.0",
)
