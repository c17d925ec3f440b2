"""The TensorRT engine: a plan on a GPU, the intensity map in CUDA. Not verified on hardware.

opening   finds the plan of this device, has it tried in a child process, then opens it here
trial     the child process: the driver is asked and the plan deserialised there first
engine    frames in, frames out: words -> kernel -> network -> kernel -> words, on one stream
network   the plan: one execution context and one CUDA graph per shape
graph     capturing a CUDA graph through cuda-bindings, where it is there
kernels   the intensity map (kernels.cu, and the kernels.ptx that ships)
buffers   page-locked memory that the GPU sees too, and the GPU's own
libraries tensorrt and pycuda, imported late and with advice
"""
