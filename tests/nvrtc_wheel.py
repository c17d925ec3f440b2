"""NVIDIA's run-time compiler, from its wheel: it needs no GPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

WHEELS = {
    "12.6": "nvidia-cuda-nvrtc-cu12==12.6.77",
    "13": "nvidia-cuda-nvrtc==13.5.37",
}
"""12.6 is JetPack 6's, whose driver takes no PTX of a later one; 13 knows Thor."""


class Nvrtc:
    def __init__(self, unzipped: Path) -> None:
        library = next(path for path in unzipped.rglob("libnvrtc.so.*") if "alt" not in path.name)
        self._library = ctypes.CDLL(str(library))

    def version(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._ask("Version", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def ptx(self, source: str, options: tuple[str, ...]) -> bytes:
        return self._compiled(source, options, "PTX")

    def cubin(self, source: str, options: tuple[str, ...]) -> bytes:
        return self._compiled(source, options, "CUBIN")

    def _compiled(self, source: str, options: tuple[str, ...], kind: str) -> bytes:
        program = ctypes.c_void_p()
        self._ask(
            "CreateProgram", ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
        )
        given = (ctypes.c_char_p * len(options))(*(one.encode() for one in options))
        try:
            self._ask("CompileProgram", program, len(options), given)
        except RuntimeError as error:
            raise RuntimeError(self._text(program, "ProgramLog").decode()) from error
        return self._text(program, kind)

    def _text(self, program: ctypes.c_void_p, kind: str) -> bytes:
        size = ctypes.c_size_t()
        self._ask(f"Get{kind}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._ask(f"Get{kind}", program, text)
        return text.raw

    def _ask(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, f"nvrtc{name}")(*arguments)
        if code:
            raise RuntimeError(f"nvrtc{name}: {code}")
