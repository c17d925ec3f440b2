"""The doctor: one page on a device, each line a check with what was found and what to do.

verdict     what a check is, and the page they make
platform    module, JetPack, packages
libraries   Python, TensorRT, NumPy, PyCUDA
gpu         CUDA, its device nodes and their groups
body        power, heat, memory, disk, time
scanside    the application, its store and its service
bundle      whether a bundle is for this device
examine     all of them
terminal, html   the page, to be read
"""
