"""Image quality of a run's stages beside classical baselines, and what PSNR hides."""
