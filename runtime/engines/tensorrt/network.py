"""A plan, deserialised and ready: one execution context and one CUDA graph per shape.

A context keeps the state of one shape, and a graph recorded from it holds only as long as that
state does: so every shape has a context of its own. They share the memory for activations, since
they run one after the other on one stream.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from scanside.runtime.engines.tensorrt.buffers import OnDevice
from scanside.runtime.engines.tensorrt.graph import Graph, capture, import_driver
from scanside.runtime.engines.tensorrt.libraries import Said, import_tensorrt, made, make_logger
from scanside.runtime.errors import EngineError, EngineUnavailableError

SHAPES_KEPT = 8
_FLOAT_BYTES = 4
_BUILD_AGAIN = "build the plan again on this device: scanside plan FILE --force"


class PlannedNetwork:
    """The network of a plan on the current context. `image` and `residual` are device memory.

    plan: verified bytes; a plan is native code, so nothing unverified may come here. side: of the
    largest tile, in pixels. stream: pycuda's, not the default one. Raises EngineUnavailableError
    when TensorRT does not take the plan, or it is not the network of this bundle.
    """

    def __init__(self, cuda: Any, stream: Any, plan: bytes, *, side: int, scale: int) -> None:
        trt = import_tensorrt()
        self._said = Said()
        self._logger = make_logger(trt, self._said)
        self._stream = stream
        self._scale = scale
        self._side = side
        self._driver = import_driver()
        self._shapes: OrderedDict[tuple[int, int], _Shape] = OrderedDict()
        self._runtime = made(trt.Runtime(self._logger), "runtime", self._said)
        # A plan may carry code for the CPU: never run, whoever signed it.
        self._runtime.engine_host_code_allowed = False
        self._engine = made(
            self._runtime.deserialize_cuda_engine(plan), "engine from the plan", self._said
        )
        self._strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._input, self._output = self._names(trt)
        self._refuse_small()
        self._activations = OnDevice(cuda, max(1, int(self._engine.device_memory_size_v2)))
        self.image = OnDevice(cuda, side * side * _FLOAT_BYTES)
        self.residual = OnDevice(cuda, side * side * scale * scale * _FLOAT_BYTES)

    @property
    def graphs(self) -> int:
        """How many of the shapes are run by a CUDA graph."""
        return sum(shape.graph is not None for shape in self._shapes.values())

    def prepare(self, rows: int, columns: int) -> None:
        """Everything that a tile of this shape needs but once; waits for the stream.

        Raises EngineError where TensorRT refuses the shape.
        """
        shape = rows, columns
        if shape in self._shapes:
            self._shapes.move_to_end(shape)
            return
        while len(self._shapes) >= SHAPES_KEPT:
            self._stream.synchronize()
            self._shapes.popitem(last=False)[1].close()
        made_ready = self._shape(rows, columns)
        # Once plainly: TensorRT puts off to the first run what must not be in the recording.
        made_ready.queue()
        self._stream.synchronize()
        if self._driver is not None:
            made_ready.graph = capture(self._driver, int(self._stream.handle), made_ready.queue)
        self._shapes[shape] = made_ready

    def run(self, rows: int, columns: int) -> None:
        """Queue one run from `image` to `residual`, for a shape that was prepared."""
        shape = self._shapes[rows, columns]
        if shape.graph is not None:
            shape.graph.launch()
        else:
            shape.queue()

    def close(self) -> None:
        """Not before the stream has finished."""
        for shape in self._shapes.values():
            shape.close()
        self._shapes.clear()
        # Contexts before the engine, the engine before the runtime.
        self._engine = None
        self._runtime = None

    def _names(self, trt: Any) -> tuple[str, str]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        floats = all(engine.get_tensor_dtype(name) == trt.DataType.FLOAT for name in names)
        inputs = [one for one in names if engine.get_tensor_mode(one) == trt.TensorIOMode.INPUT]
        outputs = [one for one in names if engine.get_tensor_mode(one) == trt.TensorIOMode.OUTPUT]
        if not floats or len(inputs) != 1 or len(outputs) != 1:
            raise EngineUnavailableError(
                "the plan has not one input and one output in float32", next_step=_BUILD_AGAIN
            )
        return inputs[0], outputs[0]

    def _refuse_small(self) -> None:
        largest = tuple(self._engine.get_tensor_profile_shape(self._input, 0)[2])
        if len(largest) != 4 or min(largest[2:]) < self._side:
            raise EngineUnavailableError(
                f"the plan is for sizes up to {largest}, and tiles have {self._side} a side",
                next_step=_BUILD_AGAIN,
            )

    def _shape(self, rows: int, columns: int) -> _Shape:
        context = made(self._engine.create_execution_context(self._strategy), "context", self._said)
        context.set_device_memory(
            self._activations.pointer, max(1, int(self._engine.device_memory_size_v2))
        )
        self._agreed(context.set_input_shape(self._input, (1, 1, rows, columns)), "this size")
        given = tuple(context.get_tensor_shape(self._output))
        expected = 1, 1, rows * self._scale, columns * self._scale
        if given != expected:
            raise EngineError(f"the network gives {given}, not {expected}", next_step=_BUILD_AGAIN)
        for name, memory in ((self._input, self.image), (self._output, self.residual)):
            self._agreed(context.set_tensor_address(name, memory.pointer), "an address")
        return _Shape(context, int(self._stream.handle), self._said)

    def _agreed(self, agreed: bool, what: str) -> None:
        if not agreed:
            raise EngineError(f"TensorRT refuses {what}{self._said.take()}", next_step=_BUILD_AGAIN)


class _Shape:
    def __init__(self, context: Any, handle: int, said: Said) -> None:
        self._context = context
        self._handle = handle
        self._said = said
        self.graph: Graph | None = None

    def queue(self) -> None:
        if not self._context.execute_async_v3(self._handle):
            raise EngineError(
                f"TensorRT could not run the network{self._said.take()}",
                next_step="pass the original frame on; if it goes on, restart the daemon",
            )

    def close(self) -> None:
        if self.graph is not None:
            self.graph.close()
        self.graph = None
        self._context = None
