"""Jinja, bounded: what parses, what is refused at sight, and what generated code must go through.

A template is read by Jinja's own lexer and parser with caps on tokens and nesting, its syntax tree is judged, and then
rewritten so that everything which loops, builds or reads passes the guards. Nothing is computed at compile time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from types import MethodType
from typing import Any, cast

from jinja2 import TemplateSyntaxError, nodes, pass_context
from jinja2.lexer import Lexer
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateSyntax, TemplateTooLarge
from orchestrator_client.contract.template import filters, guards
from orchestrator_client.contract.template.guards import BUDGET, Iteration, Method, Wrapped
from orchestrator_client.contract.template.loops import Passes
from orchestrator_client.contract.template.parser import TolerantParser
from orchestrator_client.contract.template.text_filters import text, tojson
from orchestrator_client.contract.template.views import MISSING, Absent, StepView, lenient, suggestion, unwrapped

TOKENS = 20_000
"""Tokens of one template, blanks included: a hundred times the 199 of the largest among twelve
existing pipelines, and 0.3 s to compile (measured)."""

NESTING = 30
"""Brackets within brackets: each takes thirteen frames of the parser's stack."""

DEPTH = 64
"""Depth of the syntax tree: the code made from it nests twice as deep, and Python compiles 200 brackets."""

LOOPS = 10
"""Loops within loops; Python compiles 20."""

_NAME = re.compile(r"\$?\w+")
"""A name as existing pipelines write it: `$item` is `item`."""

LOOP_FIELDS = frozenset(
    ("cycle changed depth depth0 first index index0 last length nextitem previtem revindex revindex0").split()  # noqa: SIM905  # one to a line would fill the page
)
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from … import %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.NSRef: "assignment to a field",
}


class _BoundedLexer(Lexer):
    """Jinja's lexer, for which `$item` is `item`, and which gives up early."""

    def __init__(self, environment: BoundedEnvironment) -> None:
        super().__init__(environment)
        for rules in self.rules.values():
            rules[:] = [rule._replace(pattern=_NAME) if rule.tokens == "name" else rule for rule in rules]

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        nesting = 0
        for count, (line, token, piece) in enumerate(super().tokeniter(source, name, filename, state)):
            if token == "operator":  # noqa: S105
                nesting += (piece in "([{") - (piece in ")]}")
            if count > TOKENS or nesting > NESTING:
                raise TemplateTooLarge("the template is too large or nests too deep; compute this in a step", line)
            yield line, token, piece.removeprefix("$") if token == "name" else piece  # noqa: S105


class _ScopeContext(Context):
    """Looks names up in the caller's mapping, which is neither copied nor changed."""

    def resolve_or_missing(self, key: str) -> Any:
        """A name that the template set, else one of the scope, else a global."""
        for names in (self.vars, self.parent, self.environment.globals):
            if key in names:
                return names[key]
        return missing


@pass_context
def _shown(_: Context, value: Any) -> str:
    """What an expression writes. Takes the context because Jinja then evaluates no constant while it compiles."""
    BUDGET.get().step()
    return text(value)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The one environment in which templates and conditions run."""

    context_class = _ScopeContext
    intercepted_binops = frozenset(guards.OPERATORS)
    concat = staticmethod(guards.concat)

    def __init__(self) -> None:
        super().__init__(
            undefined=Absent,
            finalize=_shown,
            autoescape=False,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.globals = {"range": guards.bounded_range, "dict": _mapping, "null": None}
        self.filters = cast(Any, {**filters.filters(), **_GUARDS})
        self.tests = cast(Any, filters.tests())
        self.bounded_lexer = _BoundedLexer(self)

    @property
    def lexer(self) -> Lexer:
        """Jinja keeps its lexers by their settings and would share this one with other environments."""
        return self.bounded_lexer

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What is about to be called: a method before data of the same name."""
        return guards.method_of(unwrapped(obj), attribute) or self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What is read: data before a method of the same name."""
        if isinstance(obj, Undefined):
            return obj
        argument = unwrapped(argument)
        if isinstance(obj, StepView) and isinstance(argument, str):
            found = obj.field(argument)
            if found is not MISSING:
                return found
            if obj.skipped:
                # Its text is empty, and has methods that nobody means.
                return self.undefined(obj=obj, name=argument)
            return self._attribute(obj, unwrapped(obj), argument)
        plain = _items(obj)
        if isinstance(plain, dict | list | tuple | str):
            try:
                return plain[argument]
            except (TypeError, LookupError):
                pass
        return self._attribute(obj, plain, argument)

    def _attribute(self, obj: Any, plain: Any, name: Any) -> Any:
        """A method of a text, list or mapping; a field of a loop or group; nothing of anything else."""
        if not isinstance(name, str):
            return self.undefined(obj=obj, name=str(name))
        if method := guards.method_of(plain, name):
            return method
        if isinstance(plain, LoopContext):
            if name in LOOP_FIELDS:
                return getattr(plain, name)
        elif isinstance(plain, tuple) and name in getattr(plain, "_fields", ()):
            return getattr(plain, name)
        refusal = f"not allowed in templates: attribute '{name}' of {type(plain).__name__}"
        if name.startswith("_"):
            raise TemplateForbidden(refusal)
        # It may as well be data that is not there, for which `default` may stand in.
        return Absent(refusal, exc=TemplateForbidden) if hasattr(plain, name) else Absent(obj=obj, name=name)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a method, a macro or a global function; nothing else that is callable ever reaches a template."""
        if isinstance(__obj, Undefined):
            return __obj()
        of_loop = isinstance(__obj, MethodType) and isinstance(__obj.__self__, LoopContext)
        if not (isinstance(__obj, Method | Macro) or of_loop or __obj in (guards.bounded_range, _mapping)):
            raise TemplateForbidden(f"not allowed in templates: calling a value that is {type(__obj).__name__}")
        BUDGET.get().step()
        return __context.call(
            __obj, *map(unwrapped, args), **{name: unwrapped(value) for name, value in kwargs.items()}
        )

    def call_binop(self, _: Context, operator: str, left: Any, right: Any) -> Any:
        """Every binary operator, on steps by their values."""
        for side in (left, right):
            if isinstance(side, Undefined):
                return side + 0  # an error, or the lenient absence itself
        return guards.OPERATORS[operator](unwrapped(left), unwrapped(right))


def _mapping(*pairs: Any, **fields: Any) -> dict[str, Any]:
    """`dict(…)`, as a function: the type has more to offer than templates may use."""
    built: dict[str, Any] = guards.paid(dict(*pairs, **fields))
    return built


def _items(value: Any) -> Any:
    """What is read item by item: the passes of a loop as the list that they are, anything else by its value."""
    return value.items if isinstance(value, Passes) else unwrapped(value)


# ---- guards that the rewritten syntax tree calls


def _iterated(value: Any) -> Iteration:
    """What a `for` runs over.

    Raises:
        TemplateError: it has no items; Python's own message would not say what to do.
    """
    value = _items(value)
    if isinstance(value, Undefined):
        return Iteration(list(value))
    if value is None or isinstance(value, bool | int | float | Method | Macro):
        raise TemplateError(f"cannot loop over {type(value).__name__}; a list, mapping or text is needed")
    return Iteration(value)


def _sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]`, which Jinja would otherwise compile into code that no guard sees."""
    if isinstance(value, Undefined):
        return value
    BUDGET.get().step()
    return _items(value)[unwrapped(start) : unwrapped(stop) : unwrapped(step)]


def _concatenated(*values: Any) -> str:
    """`a ~ b ~ c`."""
    return guards.concat(map(text, values))


def _result_of_result(value: Any) -> Any:
    """`.result` behind `.result`: existing pipelines write it twice, and a result that has none is meant itself."""
    if isinstance(value, dict):
        return value.get("result", value)
    return value


def _word(value: Any) -> Any:
    """A boolean or null as JSON writes it; anything else as it is, for a text may stand within quotes."""
    plain = value.json if isinstance(value, Wrapped) else value
    if value is None or isinstance(plain, bool):
        return json.dumps(plain)
    return value


def _member(value: Any) -> Any:
    """The value of a key in a JSON text: a list or mapping too as JSON; a text as it is, for it may spell some."""
    return tojson(value) if type(value) in (dict, list, tuple) else _word(value)


_GUARDS: dict[str, Callable[..., Any]] = {
    "_iterated": _iterated,
    "_sliced": _sliced,
    "_concatenated": _concatenated,
    "_paid": guards.paid,
    "_lenient": lenient,
    "_result": _result_of_result,
    "_word": _word,
    "_member": _member,
}
"""Names that no template can write, because the judge refuses filters that begin with an underscore."""

ENVIRONMENT = BoundedEnvironment()


# ---- reading and judging


def parse(source: str, expression: bool = False) -> nodes.Template:
    """The syntax tree of a template, or of a bare expression as a template that writes it.

    Raises:
        TemplateSyntax: it does not parse.
        TemplateTooLarge: it passes a cap on size or nesting.
    """
    if len(source) > caps.TEMPLATE_BYTES:
        raise TemplateTooLarge(f"a template of {len(source):,} characters is larger than {caps.TEMPLATE_BYTES:,}")
    try:
        return _parse_expression(source) if expression else TolerantParser(ENVIRONMENT, source).parse()
    except TemplateSyntaxError as error:
        raise TemplateSyntax(f"template does not parse: {error.message}", error.lineno) from None
    except RecursionError:
        raise TemplateTooLarge("the template nests too deep") from None
    except ValueError as error:
        raise TemplateTooLarge(f"the template holds a number that is too large: {error}") from None


def _parse_expression(source: str) -> nodes.Template:
    """An expression as a template that writes it, so that both are judged and compiled alike."""
    parser = TolerantParser(ENVIRONMENT, source, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail(f"unexpected {parser.stream.current.value!r}", parser.stream.current.lineno)
    template = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
    template.set_environment(ENVIRONMENT)
    return template


def judge(tree: nodes.Template) -> list[TemplateError]:
    """Everything wrong with a template that can be seen without running it."""
    problems: list[TemplateError] = []
    waiting: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while waiting:
        node, depth, loops = waiting.pop()
        loops += isinstance(node, nodes.For)
        if depth > DEPTH or loops > LOOPS:
            return [TemplateTooLarge("the template nests too deep; compute this in a step", node.lineno)]
        if found := _problem(node):
            problems.append(found)
        waiting.extend((child, depth + 1, loops) for child in node.iter_child_nodes())
    # Only now, because the search for macros within macros is itself recursive.
    problems.extend(_recursions(tree))
    return sorted(problems, key=lambda problem: problem.line)


def _problem(node: nodes.Node) -> TemplateError | None:
    """What is wrong with one node by itself, if anything."""
    if refused := _REFUSED.get(type(node)):
        return TemplateForbidden(f"{refused} is not available in a pipeline's templates", node.lineno)
    match node:
        case nodes.For(recursive=True):
            return TemplateForbidden("a recursive loop is not available in a pipeline's templates", node.lineno)
        case nodes.Getattr(attr=name) if name.startswith("_"):
            return TemplateForbidden(f"not allowed in templates: attribute '{name}'", node.lineno)
        case nodes.Getitem(arg=nodes.Const(value=str() as name)) if name.startswith("__"):
            return TemplateForbidden(f"not allowed in templates: attribute '{name}'", node.lineno)
        case nodes.Filter(name="attr", args=[nodes.Const(value=str() as name)]) if name.startswith("_"):
            return TemplateForbidden(f"not allowed in templates: attribute '{name}'", node.lineno)
        case nodes.Name(name="self"):
            return TemplateForbidden("'self' is not available in a pipeline's templates", node.lineno)
        case nodes.Const(value=float() as number) if number - number != 0:
            return TemplateTooLarge("a number in the template is too large", node.lineno)
        case nodes.Filter(name=name):
            return _unknown("filter", name, ENVIRONMENT.filters, node.lineno)
        case nodes.Test(name=name):
            return _unknown("test", name, ENVIRONMENT.tests, node.lineno)
    return None


def _unknown(kind: str, name: str, known: Collection[str], line: int) -> TemplateError | None:
    """That a filter or test does not exist, if so; those of the guards are not for templates."""
    if name in known and not name.startswith("_"):
        return None
    made = "; let a step of its own make the value" if kind == "filter" else ""
    return TemplateSyntax(f"{kind} '{name}' is unknown{suggestion(name, known) or made}", line)


def _recursions(tree: nodes.Template) -> Iterator[TemplateError]:
    """A macro may use those that end above it; then none can come back to itself."""
    macros = list(tree.find_all(nodes.Macro))
    for place, macro in enumerate(macros):
        closed = {earlier.name for earlier in macros[:place]}
        open_names = {later.name for later in macros[place:]} - closed
        for name in macro.find_all(nodes.Name):
            if name.ctx == "load" and name.name in open_names:
                yield TemplateForbidden(f"macro '{macro.name}' leads back to itself through '{name.name}'", name.lineno)


def native(value: Any) -> Any:
    """The JSON of what an expression gave.

    Raises:
        Unresolved: it is not there.
        TemplateError: it is something that has no JSON, such as a method that was not called.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Absent):
        value.refuse()
    if isinstance(value, Wrapped):
        return value.json
    if isinstance(value, float):
        if value - value != 0:
            raise TemplateTooLarge(f"{value} is no number that JSON can hold")
        return value
    if isinstance(value, dict):
        return {str(key): native(item) for key, item in value.items()}
    if isinstance(value, Method | Macro | LoopContext) or callable(value):
        raise TemplateError(f"the template gives {type(value).__name__.lower()}, not a value; call it with ()")
    return [native(item) for item in value]
