"""Jinja's parser, and two spellings of existing files that it does not have.

Those files were rendered twice: `{{ n }}` within a statement was written out before the statement was read.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.parser import Parser


class TolerantParser(Parser):
    """Reads `{% for x in xs[:{{ n }}] %}` as `xs[:(n)]`, and `now()` as the run's own time."""

    def parse_dict(self) -> nodes.Expr:  # type: ignore[override]  # the expression that the braces hold
        """A mapping, or the expression within two braces: a mapping is no key of another, so nothing else is lost."""
        if self.stream.look().type != "lbrace":
            return super().parse_dict()
        for _ in range(2):
            self.stream.expect("lbrace")
        expression = self.parse_expression()
        for _ in range(2):
            self.stream.expect("rbrace")
        return expression

    def parse_call(self, node: nodes.Expr) -> nodes.Expr:  # type: ignore[override]  # what stands for the call
        """A call. The clock is the run's, so that a step which is tried again renders what it rendered before."""
        call = super().parse_call(node)
        if isinstance(node, nodes.Name) and node.name == "now" and not (call.args or call.kwargs):
            execution = nodes.Name("execution", "load", lineno=call.lineno)
            return nodes.Getattr(execution, "timestamp", "load", lineno=call.lineno)
        return call
