"""Templates and conditions: what they read, whether they can work, and what they give.

A value is rendered once: what comes out of a template is never a template again. A string that is one expression keeps
the type of its value; every other template gives text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError as JinjaError

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import TemplateError, TemplateSyntax, TemplateTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.template import calls, sandbox
from orchestrator_client.contract.template.guards import BUDGET, Budget, text_bytes
from orchestrator_client.contract.template.loops import Fetch, view_of
from orchestrator_client.contract.template.rewriter import Rewriter
from orchestrator_client.contract.template.variables import Reference, free_variables
from orchestrator_client.contract.template.views import MISSING, Absent, Missing, StepView

__all__ = [
    "MISSING",
    "Fetch",
    "Missing",
    "Reference",
    "StepView",
    "check",
    "constant_failure",
    "evaluate",
    "is_template",
    "references",
    "references_of_condition",
    "render",
    "vain_calls",
    "view_of",
]

_SMALL_SOURCE = 16 * 1024
"""Characters of a template that is kept compiled among many; larger ones are few, and kept among few."""

_NATIVE = "native_value_of_the_expression"

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False, "none": False}

_MARKED = re.compile(r"\{[{%#]")
_CHOICE = re.compile(r"(?:\{\{)?([^?:{}]+)\?([^?:{}]+):([^?:{}]+)(?:\}\})?")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template made into code."""

    template: Template
    native: bool
    """It is one expression, whose value is handed on as it is."""
    line: int = 0
    """Where that expression stands."""
    logical: bool = False
    """It is a condition whose root is `and` or `or`, in which a missing name counts as false."""


def is_template(text: str) -> bool:
    """Whether the text has anything to render."""
    return "{" in text and _MARKED.search(text) is not None


def check(text: str) -> list[TemplateError]:
    """Everything wrong with a template that can be seen without rendering it, in the order of its lines."""
    try:
        tree = _parsed(text)
    except TemplateError as error:
        return [error]
    return sandbox.judge(tree)


def vain_calls(text: str, condition: bool = False) -> list[TemplateError]:
    """Calls in a template, or in a condition, that can never work; in one that does not parse, none."""
    try:
        return list(calls.vain_calls(_condition_tree(text.strip()) if condition else _parsed(text)))
    except TemplateError:
        return []


def constant_failure(text: str, condition: bool = False) -> TemplateError | None:
    """What a template or condition without free variables fails with whenever it is rendered; None if it does not."""
    try:
        evaluate(text, {}) if condition else render(text, {})
    except TemplateError as error:
        return error
    return None


def references(value: Json) -> list[Reference]:
    """The free variables of all templates within a value, keys of mappings included; lines count within each.

    Raises:
        TemplateError: a template does not parse, or may not be used; `check` says all that is wrong with it.
    """
    if isinstance(value, str):
        return list(_references_of(value)) if is_template(value) else []
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [reference for part in parts for reference in references(part)]


def _references_of(source: str) -> Sequence[Reference]:
    """Those of one template."""
    return _recent_references(source) if len(source) <= _SMALL_SOURCE // 4 else free_variables(_judged(_parsed(source)))


@lru_cache(maxsize=1024)
def _recent_references(source: str) -> tuple[Reference, ...]:
    """Kept for a while: every run of a plan asks again what its outputs read."""
    return tuple(free_variables(_judged(_parsed(source))))


def references_of_condition(condition: str) -> list[Reference]:
    """The free variables of a condition, which may be a bare expression.

    Raises:
        TemplateError: it does not parse.
    """
    text = condition.strip()
    return [] if text.lower() in _WORDS else free_variables(_judged(_condition_tree(text)))


def render(value: Json, scope: Mapping[str, Any]) -> Json:
    """The value with every template in it rendered, deep; containers are copied.

    Raises:
        Unresolved: a template names what is not there.
        TemplateSyntax, TemplateForbidden, TemplateTooLarge: a template cannot work, see `check`.
        TemplateError: an operation failed, such as adding a text to a number.
    """
    if isinstance(value, str):
        return _rendered(value, scope) if is_template(value) else value
    if isinstance(value, dict):
        return {_key(key, scope): render(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, scope) for item in value]
    return value


def evaluate(condition: Json, scope: Mapping[str, Any]) -> bool:
    """Whether a condition holds.

    A condition is a bool, a word (true, yes, 1, false, no, 0, empty), an expression with or without `{{ }}`, or both
    mixed (`'x' in {{ names }}`), which is one expression too; or else a template that writes one of the words.

    Raises:
        TemplateError: it cannot be decided; the subclasses are those of `render`.
    """
    if not isinstance(condition, str):
        return bool(condition)
    text = condition.strip()
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    compiled = _condition(text)
    value = _run(compiled, scope)
    if compiled.native:
        return _WORDS.get(value.strip().lower(), bool(value)) if isinstance(value, str) else bool(value)
    word = _WORDS.get(value.strip().lower())
    if word is None:
        raise TemplateError(
            f"the condition came out as {value.strip()[:60]!r}, which is neither true nor false; write one expression,"
            " such as {{ step.result == 'yes' }}"
        )
    return word


def _key(key: Json, scope: Mapping[str, Any]) -> Json:
    """A key of a mapping, rendered; JSON knows only texts there."""
    return str(_rendered(key, scope)) if isinstance(key, str) and is_template(key) else key


def _rendered(source: str, scope: Mapping[str, Any]) -> Json:
    """One string, rendered."""
    compiled = _small(source) if len(source) <= _SMALL_SOURCE else _large(source)
    return _run(compiled, scope)


# ---- compiling


def _judged(tree: nodes.Template) -> nodes.Template:
    """The same tree, if nothing is wrong with it.

    Raises:
        TemplateError: the first of its problems.
    """
    if problems := sandbox.judge(tree):
        raise problems[0]
    return tree


def _compile(source: str) -> _Compiled:
    """A template from its source."""
    return _code(_judged(sandbox.parse(source)))


@lru_cache(maxsize=256)
def _recent(source: str) -> nodes.Template:
    """A syntax tree kept for a while."""
    return sandbox.parse(source)


def _parsed(source: str) -> nodes.Template:
    """The syntax tree, to be read only: a plan's validation asks for the same one several times in a row."""
    return _recent(source) if len(source) <= _SMALL_SOURCE // 4 else sandbox.parse(source)


_small = lru_cache(maxsize=1024)(_compile)
_large = lru_cache(maxsize=16)(_compile)


@lru_cache(maxsize=1024)
def _condition(text: str) -> _Compiled:
    """A condition made into code, kept by its text."""
    return _code(_judged(_condition_tree(text)), condition=True)


def _code(tree: nodes.Template, condition: bool = False) -> _Compiled:
    """A judged syntax tree made into code.

    Raises:
        TemplateTooLarge: Python does not compile code that nests as deep.
    """
    expression = _single(tree)
    if expression is not None:
        tree.body = [nodes.Assign(nodes.Name(_NATIVE, "store"), expression, lineno=expression.lineno)]
    environment = sandbox.ENVIRONMENT
    try:
        code = environment.compile(Rewriter().guarded(tree, environment))
        template = Template.from_code(environment, code, environment.globals)
    except JinjaError as error:
        raise TemplateSyntax(f"template does not compile: {error.message}", getattr(error, "lineno", 0)) from None
    except (RecursionError, SyntaxError) as error:
        raise TemplateTooLarge("the template nests too deep to be compiled") from error
    if expression is None:
        return _Compiled(template, native=False)
    logical = condition and isinstance(expression, nodes.And | nodes.Or)
    return _Compiled(template, native=True, line=expression.lineno, logical=logical)


def _single(tree: nodes.Template) -> nodes.Expr | None:
    """The expression, if the template is only one, with nothing but blanks around it."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = [part for part in tree.body[0].nodes if not (isinstance(part, nodes.TemplateData) and part.data.isspace())]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _condition_tree(text: str) -> nodes.Template:
    """The condition as one expression if it is one, else as a template; a simple `a ? b : c` is understood."""
    expression = _as_expression(text)
    if expression is not None:
        with suppress(TemplateSyntax):
            return sandbox.parse(expression, expression=True)
    if choice := _CHOICE.fullmatch(text):
        test, then, otherwise = choice.groups()
        return sandbox.parse(f"({then}) if ({test}) else ({otherwise})", expression=True)
    return sandbox.parse(text, expression=not is_template(text))


def _as_expression(text: str) -> str | None:
    """The condition with each `{{ e }}` as `(e)`, and as `' ~ (e) ~ '` within quotes; None if it has statements."""
    if not is_template(text):
        return text
    parts, quote = [], ""
    with suppress(JinjaError):
        for _, token, piece in sandbox.ENVIRONMENT.bounded_lexer.tokeniter(text, None):
            match token:
                case "variable_begin":
                    parts.append(f"{quote} ~ (" if quote else "(")
                case "variable_end":
                    parts.append(f") ~ {quote}" if quote else ")")
                case "data":
                    parts.append(piece)
                    quote = _open_quote(piece, quote)
                case "block_begin" | "comment_begin" | "raw_begin":
                    return None
                case _:
                    parts.append(piece)
        return "".join(parts).strip()
    return None


def _open_quote(text: str, quote: str) -> str:
    """The quotation mark within which a text ends that begins within `quote`; empty if outside."""
    for character in text:
        if character == quote:
            quote = ""
        elif character in "'\"" and not quote:
            quote = character
    return quote


# ---- running

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    JinjaError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    re.error,
)
"""What Python's and Jinja's operations raise on values that they do not fit."""


def _run(compiled: _Compiled, scope: Mapping[str, Any]) -> Any:
    """The value or text of a template, with the line in every error."""
    token = BUDGET.set(Budget(scope))
    try:
        return _value(compiled, scope) if compiled.native else _text(compiled, scope)
    except TemplateError as error:
        line = error.line or _line(compiled, error.__traceback__)
        raise type(error)(error.message, line) from error.__cause__
    except (RecursionError, MemoryError) as error:
        raise TemplateTooLarge("a value in the template nests too deep or is too large") from error
    except _FAILURES as error:
        line = _line(compiled, error.__traceback__)
        raise TemplateError(f"the template cannot be rendered: {error or type(error).__name__}", line) from error
    finally:
        BUDGET.reset(token)


def _value(compiled: _Compiled, scope: Mapping[str, Any]) -> Json:
    """The value of a template that is one expression."""
    context = compiled.template.new_context(scope, shared=True)  # type: ignore[arg-type]  # never written to
    for _ in compiled.template.root_render_func(context):
        pass
    value = context.vars[_NATIVE]
    if compiled.logical and isinstance(value, Absent):
        return False
    return sandbox.native(value)


def _text(compiled: _Compiled, scope: Mapping[str, Any]) -> str:
    """The text of a template, counted while it is written."""
    context = compiled.template.new_context(scope, shared=True)  # type: ignore[arg-type]  # never written to
    pieces, size = [], 0
    for piece in compiled.template.root_render_func(context):
        size += text_bytes(piece)
        if size > caps.RENDERED_BYTES:
            raise TemplateTooLarge(f"the template writes more than {caps.RENDERED_BYTES:,} bytes")
        pieces.append(piece)
    return "".join(pieces)


def _line(compiled: _Compiled, trace: TracebackType | None) -> int:
    """The line of the template in which an error arose."""
    line = compiled.line
    while trace is not None:
        if trace.tb_frame.f_globals.get("__jinja_template__") is compiled.template:
            line = compiled.template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
