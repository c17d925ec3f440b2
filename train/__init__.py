"""Workstation: images -> float model -> pruned -> quantisation-aware checkpoint."""

import logging

# torchao looks for CUDA kernels when it is imported, and logs that a CPU build of torch has none.
logging.getLogger("torchao").setLevel(logging.ERROR)
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
