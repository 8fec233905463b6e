"""Refuse functions of more than 60 lines and modules of more than 400 in the package.

    python -m scripts.check_sizes

What grows longer is two things: split it by noun.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FUNCTION_LINES_MAX: Final = 60
MODULE_LINES_MAX: Final = 400
PACKAGE: Final = Path(__file__).parent.parent / "canvas_server"


def too_long(path: Path, source: str) -> Iterator[str]:
    """Yield one complaint for the module if it is too long, and one for each function that is."""
    lines = len(source.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{path}:1: {lines} lines in a module; at most {MODULE_LINES_MAX}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {lines} lines in {node.name}; at most {FUNCTION_LINES_MAX}"


def main() -> int:
    """Print all complaints; return 1 if there is one, else 0."""
    paths = sorted(PACKAGE.rglob("*.py"))
    complaints = [line for path in paths for line in too_long(path.relative_to(PACKAGE.parent), path.read_text())]
    print("\n".join(complaints) or f"{len(paths)} modules, none too long, nor any function in them")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
