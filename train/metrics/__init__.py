"""Image quality, and what PSNR hides."""
