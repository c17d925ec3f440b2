"""A module and what it needs of `scanside.runtime`, as a package that stands on its own.

A MONAI bundle carries its own scripts. They are the runtime's very files, imports made relative, so
that there is one intensity map and not a copy that goes its own way.
"""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

RUNTIME = "scanside.runtime."
_IMPORT = re.compile(r"^(\s*)from scanside\.runtime\.([\w.]+) import ", re.MULTILINE)


def package_of(module: str, name: str) -> dict[str, str]:
    """Path in the package -> Python source: `module` as NAME.py, and what it imports of the
    runtime, under the paths that it has there."""
    files = {"__init__.py": ""}
    sources = {f"{name}.py": _source(module)}
    while sources:
        path, text = sources.popitem()
        files[path] = _relative(text, depth=path.count("/"))
        for needed in _needed(text):
            inside = needed.removeprefix(RUNTIME).split(".")
            for length in range(1, len(inside) + 1):
                source = _origin(RUNTIME + ".".join(inside[:length]))
                ending = "/__init__.py" if source.name == "__init__.py" else ".py"
                target = "/".join(inside[:length]) + ending
                if target not in files:
                    sources[target] = source.read_text()
    return dict(sorted(files.items()))


def _needed(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "scanside":
                # `from scanside.runtime import x` and `import scanside...` would not be rewritten.
                assert isinstance(node, ast.ImportFrom), f"{name} is imported whole"
                assert name.startswith(RUNTIME), f"{name} cannot go into a bundle"
                found.append(name)
    return found


def _relative(text: str, depth: int) -> str:
    dots = "." * (depth + 1)
    return _IMPORT.sub(rf"\1from {dots}\2 import ", text)


def _source(module: str) -> str:
    return _origin(module).read_text()


def _origin(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None, f"{module} is not there"
    assert spec.origin is not None, f"{module} has no file"
    return Path(spec.origin)
