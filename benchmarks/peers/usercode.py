"""Lines that a user has to write: those with code on them."""

from __future__ import annotations

import ast
import io
import tokenize
from importlib.util import find_spec
from pathlib import Path

from scanside.runtime.errors import BenchmarkError

NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def lines_of(module: str) -> int:
    """Lines of code of a module, which is not imported: its server's library may live elsewhere.
    Raises BenchmarkError where it is not found."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise BenchmarkError(f"the module {module} is not there")
    return count_lines(Path(spec.origin).read_text(encoding="utf-8"))


def count_lines(source: str) -> int:
    """Lines that hold a token of code: neither blank ones, nor comments, nor docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstrings(source))


def _docstrings(source: str) -> set[int]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            found.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return found
