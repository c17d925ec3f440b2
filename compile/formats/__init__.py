"""Other ways out of a bundle: MONAI, Triton and bare ONNX, one module each."""
