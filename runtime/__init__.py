"""The device's side: bundle -> engine -> daemon, and the client an appliance uses.

Never imports torch, onnx or monai, nor any other package of Scanside.
"""
