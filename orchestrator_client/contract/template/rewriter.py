"""Rewrites the syntax tree of a template so that everything which loops, builds or reads passes a guard.

The guards are filters whose names no template can write; `sandbox` says what each of them does.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, TypeVar

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

_KEY = re.compile(r'(?<!\\)"\s*:\s*\Z')
"""The end of a text after which JSON has the value of a key."""

Applied = TypeVar("Applied", nodes.Filter, nodes.Test)


class Rewriter(NodeTransformer):
    """Puts the guards in place, and knows whether a name may be missing where it stands."""

    def __init__(self) -> None:
        self.lenient = False
        self.json = False
        """The template writes a JSON document, which has words of its own for what Python calls True and None."""

    def guarded(self, tree: nodes.Template, environment: Environment) -> nodes.Template:
        """The same tree with every guard in place."""
        self.json = _writes_json(tree)
        self.visit(tree)
        tree.set_environment(environment)
        return tree

    def _tolerant(self, node: nodes.Node) -> nodes.Expr:
        """Rewrite a part in which names may be missing."""
        outer, self.lenient = self.lenient, True
        rewritten: nodes.Expr = self.visit(node)
        self.lenient = outer
        return rewritten

    def _read(self, node: nodes.Expr) -> nodes.Expr:
        """What is read where it may be missing goes on as a lenient absence."""
        return _guard(node, "_lenient") if self.lenient else node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:
        """What is written: text as it stands, and expressions."""
        self.generic_visit(node)
        if self.json:
            node.nodes = [_in_json(part, before) for before, part in pairwise([None, *node.nodes])]
        return node

    def visit_Name(self, node: nodes.Name) -> nodes.Expr:
        """A variable."""
        return self._read(node) if node.ctx == "load" else node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Expr:
        """An attribute becomes an item: data comes before methods, unless it is about to be called."""
        twice = node.attr == "result" and isinstance(node.node, nodes.Getattr) and node.node.attr == "result"
        inner = self.visit(node.node)
        if twice:
            return _guard(inner, "_result")
        return self._read(nodes.Getitem(inner, nodes.Const(node.attr), "load", lineno=node.lineno))

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        """An item, or a slice, which only a guard may cut."""
        inner = self.visit(node.node)
        if isinstance(node.arg, nodes.Slice):
            ends = (
                self.visit(end) if end else nodes.Const(None) for end in (node.arg.start, node.arg.stop, node.arg.step)
            )
            return _guard(inner, "_sliced", *ends)
        return self._read(nodes.Getitem(inner, self.visit(node.arg), "load", lineno=node.lineno))

    def visit_Call(self, node: nodes.Call) -> nodes.Expr:
        """A call: the attribute that is called stays an attribute, and so finds the method first."""
        called = node.node
        if not isinstance(called, nodes.Getattr):
            self.generic_visit(node)
            return node
        # Only here does an attribute stay one: a method is wanted, not data.
        called.node = self.visit(called.node)
        node.node = nodes.Const(None)
        self.generic_visit(node)
        node.node = called
        return node

    def visit_If(self, node: nodes.If) -> nodes.If:
        """The test of an `if` may ask for what is missing; its branches may not."""
        test, node.test = node.test, nodes.Const(None)
        self.generic_visit(node)
        node.test = self._tolerant(test)
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.CondExpr:
        """The same in one line. Without an `else` it writes nothing, where Jinja has an undefined value."""
        node.test = self._tolerant(node.test)
        node.expr1 = self.visit(node.expr1)
        node.expr2 = self.visit(node.expr2) if node.expr2 is not None else nodes.Const("")
        return node

    def visit_For(self, node: nodes.For) -> nodes.For:
        """Every item counts; the loop's own `if` may ask for what is missing."""
        test, node.test = node.test, None
        self.generic_visit(node)
        node.iter = _guard(node.iter, "_iterated")
        node.test = self._tolerant(test) if test is not None else None
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:
        """Before `default`, names may be missing."""
        return self._applied(node, node.name in ("default", "d"))

    def visit_Test(self, node: nodes.Test) -> nodes.Test:
        """Before `is defined` and `is undefined`, too."""
        return self._applied(node, node.name in ("defined", "undefined"))

    def _applied(self, node: Applied, tolerant: bool) -> Applied:
        """A filter or test: what it is applied to may be missing, its arguments may not."""
        subject: Any = node.node
        node.node = nodes.Const(None)
        self.generic_visit(node)
        if subject is not None:
            subject = self._tolerant(subject) if tolerant else self.visit(subject)
        node.node = subject
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        """Jinja joins the parts of `~` itself, at any size: a guard does it instead."""
        first, *rest = (self.visit(part) for part in node.nodes)
        return _guard(first, "_concatenated", *rest)

    def _built(self, node: Any) -> nodes.Expr:
        """A list, tuple or mapping, paid for as the tree it is; as the target of an assignment it is none."""
        self.generic_visit(node)
        stored = getattr(node, "ctx", "load") != "load"
        return node if stored or _constant(node) else _guard(node, "_paid")

    visit_List = visit_Tuple = visit_Dict = _built


def _writes_json(tree: nodes.Template) -> bool:
    """The text of the template begins and ends as a JSON mapping or list does."""
    if not tree.body or not isinstance(first := tree.body[0], nodes.Output):
        return False
    if not isinstance(last := tree.body[-1], nodes.Output):
        return False
    head, tail = first.nodes[0], last.nodes[-1]
    if not (isinstance(head, nodes.TemplateData) and isinstance(tail, nodes.TemplateData)):
        return False
    return f"{head.data.lstrip()[:1]}{tail.data.rstrip()[-1:]}" in ("{}", "[]")


def _in_json(part: nodes.Expr | None, before: nodes.Expr | None) -> Any:
    """A part of a JSON text; of an expression, only what follows on a key surely stands outside of quotes."""
    if isinstance(part, nodes.TemplateData):
        return part
    is_member = isinstance(before, nodes.TemplateData) and _KEY.search(before.data)
    return _guard(part, "_member" if is_member else "_word")


def _constant(node: nodes.Expr) -> bool:
    """Nothing but constants, which are no larger than the source."""
    return all(isinstance(child, nodes.Const) for child in node.iter_child_nodes())


def _guard(node: Any, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    """A call of a guard, written as the filter that it is registered as."""
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
