"""Stands where TensorRT would on a fake device: takes what plan.py calls, and does as it is told.

That plan.py calls what the genuine bindings have is test_contract.py's to prove. What to do is in
`behaviour.json` beside this file: refuse (ONNX that holds this text), float (a plan without INT8),
crash (a signal), raise, sleep (seconds), print (to the C library's stdout), none (make no plan),
size (of the plan), reject_cache.
"""

import ctypes
import enum
import hashlib
import json
import os
import signal
import time
from pathlib import Path

__version__ = "10.3.0"
_file = Path(__file__).with_name("behaviour.json")
_told = json.loads(_file.read_text()) if _file.exists() else {}


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class ProfilingVerbosity(enum.IntEnum):
    DETAILED = 2


class LayerInformationFormat(enum.IntEnum):
    JSON = 1


class ILogger:
    class Severity(enum.IntEnum):
        ERROR = 1
        WARNING = 2

    def __init__(self):
        pass


class IProgressMonitor:
    def __init__(self):
        pass


class Profile:
    def set_shape(self, name, smallest, usual, largest):
        assert name == "image"
        assert smallest <= usual <= largest


class Config:
    def __init__(self):
        self.cache = b""

    def set_memory_pool_limit(self, pool, size):
        assert size > 0

    def create_timing_cache(self, content):
        if content and _told.get("reject_cache"):
            return None
        self.cache = content
        return self

    def set_timing_cache(self, cache, ignore_mismatch):
        return True

    def serialize(self):
        return self.cache + b"measured;"

    def add_optimization_profile(self, profile):
        return 0


class Network:
    onnx = b""


class OnnxParser:
    def __init__(self, network, logger):
        self.network = network
        self.num_errors = 0

    def parse(self, onnx):
        self.network.onnx = onnx
        refused = "refuse" in _told and _told["refuse"].encode() in onnx
        self.num_errors = int(refused)
        return not refused

    def get_error(self, index):
        return "In node 3 (importConv): UNSUPPORTED_NODE"


class Builder:
    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return Network()

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, 2)
        if "print" in _told:
            ctypes.CDLL(None).puts(_told["print"].encode())
            ctypes.CDLL(None).fflush(None)
        monitor.phase_start("Timing", "Building Engine", 1)
        Path(__file__).with_name("building").write_text(str(os.getpid()))
        time.sleep(_told.get("sleep", 0))
        if "raise" in _told:
            raise RuntimeError(_told["raise"])
        if "crash" in _told:
            os.kill(os.getpid(), getattr(signal, _told["crash"]))
        monitor.phase_finish("Timing")
        monitor.step_complete("Building Engine", 0)
        self.logger.log(ILogger.Severity.WARNING, "a warning")
        monitor.phase_finish("Building Engine")
        if _told.get("none"):
            return None
        seed = hashlib.sha256(network.onnx).digest()
        return seed * (_told.get("size", 4096) // len(seed))


class Runtime:
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, data):
        return self

    def create_engine_inspector(self):
        return self

    def get_engine_information(self, kind):
        kind = "Float" if _told.get("float") else "Int8"
        return json.dumps({"Layers": [{"Name": "a", "Format": kind}, {"Name": "b"}]})
