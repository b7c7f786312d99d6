"""A digest of code that decides a result: another digest, and the result must be made anew."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def code_digest(files: Iterable[Path]) -> str:
    """Of what the code does: remarks, layout, and in which file it stands decide nothing."""
    return _digest(tuple((path, path.stat().st_mtime_ns) for path in sorted(files)))


@cache
def _digest(files: tuple[tuple[Path, int], ...]) -> str:
    digest = hashlib.sha256()
    for code in sorted(_code(path) for path, _ in files):
        digest.update(f"{code}\n".encode())
    return digest.hexdigest()[:16]


def _code(path: Path) -> str:
    """Without imports: they say where a name stands, and change when a file moves."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.If)):
            node.body = [line for line in node.body if not _says_nothing(line)]
    return ast.dump(tree)


def _says_nothing(line: ast.stmt) -> bool:
    if isinstance(line, (ast.Import, ast.ImportFrom)):
        return True
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
