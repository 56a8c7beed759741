"""Calls in a template that can never work, whatever the values are: no input and no field of a step is a function.

A worker finds out when it renders; a plan is told before.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from orchestrator_client.contract.errors import TemplateError, TemplateSyntax
from orchestrator_client.contract.template.guards import METHODS
from orchestrator_client.contract.template.sandbox import ENVIRONMENT, LOOP_FIELDS
from orchestrator_client.contract.template.views import suggestion

_INSTEAD = {
    "file_exists": "; ask filesystem.exists in a step",
    "include_file": "; write {{ file:path }}, or read the file in a step",
    "loop_var": "; write {{ $name.item }}",
    "loop_item_at": "; write {{ step.results[0] }}",
    "current_loop_name": "; write {{ loop_name }}",
}
"""Functions of existing files, and what to write for them."""


def vain_calls(tree: nodes.Template) -> Iterator[TemplateError]:
    """One error for each call of a function or method that does not exist."""
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    functions = {"range", "dict", "caller", *bound, *(macro.name for macro in tree.find_all(nodes.Macro))}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Name(name=name) if name not in functions:
                remedy = _INSTEAD.get(name) or suggestion(name, ENVIRONMENT.globals)
                yield TemplateSyntax(f"function '{name}' is unknown{remedy}", call.lineno)
            case nodes.Getattr(attr=name) if name not in METHODS | LOOP_FIELDS:
                yield TemplateSyntax(f"method '{name}' is unknown{suggestion(name, METHODS)}", call.lineno)
