"""Python code in a plan: names that existing files expect to find in it, and that are not there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from orchestrator_client.contract import template
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems
from orchestrator_client.loader.text.nodes import Node, Scalar

_SHARED = "context"
"""Inputs, results and objects that steps leave to each other: code here runs in a process of its own, each time."""


def check(code: Node | None, problems: Problems) -> None:
    """Refuse code that reads the shared `context` and makes none itself. What does not parse fails when it runs."""
    if not isinstance(code, Scalar) or not isinstance(code.value, str) or template.is_template(code.value):
        return
    try:
        tree = ast.parse(code.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == _SHARED]
    if names and all(isinstance(name.ctx, ast.Load) for name in names) and _SHARED not in _bound(tree):
        message = f"code that reads the steps' '{_SHARED}' is not in this release"
        remedy = "write values into the code as {{ name | tojson }}, and print what later steps are to read"
        problems.error(Code.NOT_YET, message, code.place_of_line(min(name.lineno for name in names)), remedy)


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that come from imports, functions and their arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
