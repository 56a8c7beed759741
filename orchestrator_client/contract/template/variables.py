"""The free variables of a template: which steps and inputs it reads, and whether it can do without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jinja2 import nodes

from orchestrator_client.contract.template.sandbox import ENVIRONMENT

STEPS = "steps"
"""The namespace of all steps: `steps.draft.result` reads the step `draft`."""

_MACRO_NAMES = frozenset({"caller", "varargs", "kwargs"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A free variable of a template."""

    name: str
    field: str | None
    """The first attribute or item that is read from it, where that is a constant: `a.result` gives `result`."""
    guarded: bool
    """Only read where it may be missing: before `default`, in `is defined`, in the test of an `if`, or in what the
    test of an `if` that asks for it decides upon."""
    line: int
    """Within the template, from 1; of the first use that is not guarded, if there is one."""


def free_variables(tree: nodes.Template) -> list[Reference]:
    """Every pair of name and field, once, in the order of first use."""
    search = _Search()
    search.visit(tree, set(ENVIRONMENT.globals), frozenset())
    return list(search.found.values())


Tolerated = frozenset[str] | None
"""Names that an enclosing test has asked for; None where every name may be missing."""


class _Search:
    """Walks a syntax tree with the names that are bound where it stands. A set of bound names is one scope."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str | None], Reference] = {}

    def visit(self, node: nodes.Node, bound: set[str], tolerated: Tolerated) -> None:
        """Note what a node reads, knowing the names that are bound there and those that may be missing."""
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._read(node, bound, tolerated)
            case nodes.If():
                self._decide(node.test, [*node.body, *node.elif_, *node.else_], bound, tolerated)
            case nodes.CondExpr():
                branches = [node.expr1] if node.expr2 is None else [node.expr1, node.expr2]
                self._decide(node.test, branches, bound, tolerated)
            case nodes.And() | nodes.Or():
                self.visit(node.left, bound, tolerated)
                self.visit(node.right, bound, _with(tolerated, node.left))
            case nodes.Filter(name="default" | "d") | nodes.Test(name="defined" | "undefined"):
                if node.node is not None:
                    self.visit(node.node, bound, None)
                self._all((*node.args, *node.kwargs), bound, tolerated)
            case _:
                self._bind(node, bound, tolerated)

    def _bind(self, node: nodes.Node, bound: set[str], tolerated: Tolerated) -> None:
        """Statements that bind names, and all that needs no care."""
        match node:
            case nodes.For():
                self.visit(node.iter, bound, tolerated)
                inner = bound | _stored(node.target) | {"loop"}
                if node.test is not None:
                    self.visit(node.test, inner, None)
                self._all(node.body, inner, tolerated)
                self._all(node.else_, set(bound), tolerated)
            case nodes.Assign() | nodes.AssignBlock():
                self._all(node.iter_child_nodes(exclude=("target",)), bound, tolerated)
                bound |= _stored(node.target)
            case nodes.With():
                self._all(node.values, bound, tolerated)
                self._all(node.body, bound.union(*map(_stored, node.targets)), tolerated)
            case nodes.Macro() | nodes.CallBlock():
                if isinstance(node, nodes.Macro):
                    bound.add(node.name)
                inner = bound.union(_MACRO_NAMES, *map(_stored, node.args))
                self._all(node.iter_child_nodes(exclude=("args",)), inner, tolerated)
            case nodes.FilterBlock():
                self._all(node.iter_child_nodes(), set(bound), tolerated)
            case _:
                self._all(node.iter_child_nodes(), bound, tolerated)

    def _all(self, parts: Iterable[nodes.Node], bound: set[str], tolerated: Tolerated) -> None:
        """Several nodes of one scope, in their order: what one binds is bound in the next."""
        for part in parts:
            self.visit(part, bound, tolerated)

    def _decide(self, test: nodes.Node, parts: Iterable[nodes.Node], bound: set[str], tolerated: Tolerated) -> None:
        """A test, in which everything may be missing, and what it decides upon."""
        self.visit(test, bound, None)
        self._all(parts, bound, _with(tolerated, test))

    def _read(self, node: nodes.Expr, bound: set[str], tolerated: Tolerated) -> None:
        """A name, and the fields that are read from it in a row."""
        fields: list[str | None] = []
        while isinstance(node, nodes.Getattr | nodes.Getitem):
            if isinstance(node, nodes.Getitem):
                self.visit(node.arg, bound, tolerated)
            fields.append(_field(node))
            node = node.node
        if not isinstance(node, nodes.Name):
            self.visit(node, bound, tolerated)
        elif node.ctx == "load" and node.name not in bound:
            self._note(node.name, [*reversed(fields), None, None], node.lineno, tolerated)

    def _note(self, name: str, fields: list[str | None], line: int, tolerated: Tolerated) -> None:
        """One use: with those before it, a reference is guarded only if all of them are."""
        use = Reference(name, fields[0], tolerated is None or name in tolerated, line)
        known = self.found.setdefault((name, fields[0]), use)
        if known.guarded and not use.guarded:
            self.found[name, fields[0]] = replace(known, guarded=False, line=line)
        if name == STEPS and fields[0] is not None:
            self._note(fields[0], fields[1:], line, tolerated)


def _field(node: nodes.Getattr | nodes.Getitem) -> str | None:
    """The attribute, or the item if its key is a constant text."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None


def _names(node: nodes.Node) -> set[str]:
    """Names in an expression, whether bound or free; of `steps.x`, the step too."""
    names = {node.name} if isinstance(node, nodes.Name) else {name.name for name in node.find_all(nodes.Name)}
    reads = [node] if isinstance(node, nodes.Getattr) else []
    for read in [*reads, *node.find_all(nodes.Getattr)]:
        if isinstance(read.node, nodes.Name) and read.node.name == STEPS:
            names.add(read.attr)
    return names


def _stored(node: nodes.Node) -> set[str]:
    """The names that the target of an assignment or loop binds."""
    return {node.name} if isinstance(node, nodes.Name) else {name.name for name in node.find_all(nodes.Name)}


def _with(tolerated: Tolerated, test: nodes.Node) -> Tolerated:
    """What may be missing once a test has asked for the names in it."""
    return None if tolerated is None else tolerated | _names(test)
