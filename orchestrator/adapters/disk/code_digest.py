"""A digest of code that decides a result: another digest, and the result must be made anew."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

OWN = ("orchestrator", "plans", "devices", "simulators")
"""Packages in which a file may move, so that an import of it changes and nothing else."""


def code_digest(files: Iterable[Path]) -> str:
    """Of what the code does.

    Remarks, layout, names of files, and where Labwright's own names are imported from decide
    nothing. Of a compiled module every byte decides.
    """
    stats = ((path, path.stat()) for path in sorted(files))
    return _digest(tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for code in sorted(_code(path) for path, *_ in files):
        digest.update(f"{code}\n".encode())
    return digest.hexdigest()[:16]


def _code(path: Path) -> str:
    if path.suffix != ".py":
        return path.read_bytes().hex()
    return ast.dump(_Deciding().visit(ast.parse(path.read_text())))


class _Deciding(ast.NodeTransformer):
    """Leaves out what decides nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Without docstrings."""
        return None if isinstance(node.value, ast.Constant) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Without what only type checkers read."""
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        """Without those of what is Labwright's own, or only for types."""
        if (node.module or "").split(".")[0] in OWN:
            return None
        node.names = [one for one in node.names if one.name != "TYPE_CHECKING"]
        return node if node.names else None
