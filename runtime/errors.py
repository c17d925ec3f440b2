"""Everything that Scanside raises on purpose.

Each error carries the sentence that tells what is wrong, the next step for whoever reads it, and
the exit code that the command line ends with. Messages never hold patient data: no tag values, no
pixel values, and of a file only the name that the user typed or that a folder lists.

::

    ScansideError                       1
    ├── MissingExtraError               3   a package of an extra is not installed
    ├── ImageError                      4   an input image
    │   ├── NoImagesError                   a folder holds nothing readable
    │   ├── UnreadableImageError            truncated, not DICOM, decoder failed
    │   ├── UnsupportedImageError           colour, mosaic, Modality LUT, no pixels ...
    │   │   └── SeriesError                 slices missing, twice, or of several series
    │   └── OutputExistsError               the destination is there already
    ├── BundleError                     5   a .scanside file
    │   ├── BundleFormatError               truncated, not a bundle, hostile layout
    │   ├── BundleIntegrityError            a member is not what the manifest says
    │   ├── BundleVersionError              from a future major version
    │   ├── BundleTooLargeError             over a cap
    │   ├── UnsignedBundleError             no signature, and unsigned was not allowed
    │   ├── SignatureError                  by an unknown or revoked key, or altered
    │   └── DowngradeError                  older than what it would replace
    ├── EngineError                     6   running the network
    │   ├── EngineUnavailableError          the named engine is not installed or cannot load
    │   ├── NonFiniteError                  the network gave NaN or infinity
    │   ├── PlanError                       TensorRT could not build, or built without INT8
    │   └── GoldenMismatchError             the engine fails the bundle's golden frames
    ├── TransportError                  7   the wire
    │   ├── AddressInUseError
    │   ├── ServerUnreachableError
    │   ├── RequestTimeoutError
    │   ├── HandshakeError              the keys of client and daemon do not fit
    │   └── ProtocolError                   the peer speaks something else
    ├── RefusedFrameError               8   this model must not touch this frame
    ├── TrainingError                   9
    │   ├── UnknownRecipeError
    │   ├── RecipeError                     a key or a value that a recipe cannot have
    │   ├── EmptySplitError                 no patient is left to train on
    │   ├── ArchitectureError               a checkpoint of another network
    │   ├── LossError                       the loss is not finite
    │   ├── OutOfMemoryError                with the patch that would fit
    │   └── RunFolderError                  not a run, unfinished, or of another configuration
    ├── GateError                       10  INT8 lost too much: no bundle is written
    ├── PartialError                    11  some of many inputs failed; the rest is done
    ├── CompileError                    12  a network that cannot be exported or rewritten
    ├── StudyError                      13  a reader study: scores of another, twice, altered
    ├── KeyFileError                    14  a key: missing, of another kind, readable by others
    ├── TargetError                     15  a device that is not supported or too small
    ├── BuilderError                    16  a builder over SSH: unreachable, died, talks nonsense
    ├── StoreError                      17  the device's store: empty, damaged, locked, full
    ├── SwapError                       18  the daemon keeps the model that it has
    ├── BenchmarkError                  19  a benchmark that cannot be run or trusted
    │   ├── RecordError                     a history that cannot be read
    │   └── RegressionError                 a figure is worse, beyond the noise of both runs
    └── DeviceError                     20  a Jetson's own set-up: a step of it failed
        ├── FlashError                      what must not be flashed, or failed
        └── PackageError                    the offline package: damaged, of another platform
"""

from __future__ import annotations


class ScansideError(Exception):
    """Base of the tree. `message` is one sentence; `next_step` tells what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} ({self.next_step})" if self.next_step else self.message


class MissingExtraError(ScansideError):
    exit_code = 3

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(
            f"this needs the package {package}, which is not installed",
            next_step=f"pip install 'scanside[{extra}]'",
        )
        self.extra = extra


class ImageError(ScansideError):
    """`reason` is a short fixed phrase for programs ("truncated", "colour"), or empty."""

    exit_code = 4

    def __init__(self, message: str, *, next_step: str = "", reason: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.reason = reason


class NoImagesError(ImageError):
    pass


class UnreadableImageError(ImageError):
    pass


class UnsupportedImageError(ImageError):
    pass


class SeriesError(UnsupportedImageError):
    pass


class OutputExistsError(ImageError):
    pass


class BundleError(ScansideError):
    exit_code = 5


class BundleFormatError(BundleError):
    pass


class BundleIntegrityError(BundleError):
    pass


class BundleVersionError(BundleError):
    pass


class BundleTooLargeError(BundleError):
    pass


class UnsignedBundleError(BundleError):
    pass


class SignatureError(BundleError):
    pass


class DowngradeError(BundleError):
    pass


class EngineError(ScansideError):
    exit_code = 6


class EngineUnavailableError(EngineError):
    pass


class NonFiniteError(EngineError):
    pass


class PlanError(EngineError):
    pass


class GoldenMismatchError(EngineError):
    pass


class TransportError(ScansideError):
    exit_code = 7


class AddressInUseError(TransportError):
    pass


class ServerUnreachableError(TransportError):
    pass


class RequestTimeoutError(TransportError):
    pass


class HandshakeError(TransportError):
    pass


class ProtocolError(TransportError):
    pass


class RefusedFrameError(ScansideError):
    """`reason` is one of the closed list in `scanside.runtime.admission`."""

    exit_code = 8

    def __init__(self, reason: str, message: str, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.reason = reason


class TrainingError(ScansideError):
    exit_code = 9


class UnknownRecipeError(TrainingError):
    pass


class RecipeError(TrainingError):
    pass


class EmptySplitError(TrainingError):
    pass


class ArchitectureError(TrainingError):
    pass


class LossError(TrainingError):
    pass


class OutOfMemoryError(TrainingError):
    pass


class RunFolderError(TrainingError):
    pass


class GateError(ScansideError):
    exit_code = 10


class PartialError(ScansideError):
    exit_code = 11


class CompileError(ScansideError):
    exit_code = 12


class StudyError(ScansideError):
    exit_code = 13


class KeyFileError(ScansideError):
    exit_code = 14


class TargetError(ScansideError):
    exit_code = 15


class BuilderError(ScansideError):
    exit_code = 16


class StoreError(ScansideError):
    exit_code = 17


class SwapError(ScansideError):
    exit_code = 18


class BenchmarkError(ScansideError):
    exit_code = 19


class RecordError(BenchmarkError):
    pass


class RegressionError(BenchmarkError):
    pass


class DeviceError(ScansideError):
    exit_code = 20


class FlashError(DeviceError):
    pass


class PackageError(DeviceError):
    pass
