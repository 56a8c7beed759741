"""Counting words, and arithmetic that is no program: numbers, operators and a few functions, each with a cap."""

from __future__ import annotations

import ast
import json
import math
import operator
from collections.abc import Callable, Mapping

from orchestrator_client.contract.catalog.data import CalculateParameters, EchoParameters, TextParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult

EXPRESSION_CHARACTERS = 1_000
DEPTH = 300
"""Operations within each other."""

INTEGER_BITS = 4_096
"""Of every number on the way to the result."""

Number = int | float
"""What an expression is made of; Python's complex numbers have no JSON form."""


def count_words(_context: ToolContext, parameters: TextParameters) -> ToolResult:
    """Count a text's words, which blanks part: the number; beside it `characters` and `lines`.

    The number is there as `count` and `word_count` too, the names by which existing files read it.
    """
    given = parameters.text
    # A step's whole result may stand where its text was meant; its JSON has words too.
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    words = len(text.split())
    counted = {"count": words, "word_count": words, "characters": len(text), "lines": len(text.splitlines())}
    return ToolResult(words, envelope=counted)


def calculate(_context: ToolContext, parameters: CalculateParameters) -> ToolResult:
    """Work out an expression of numbers and `variables`: the number; beside it `value` and `expression`.

    It knows + - * / // % **, brackets, `pi`, `e`, and the functions abs, ceil, floor, log, max, min, round and sqrt.

    Raises:
        ParametersInvalid: it is no such expression, or has no finite real result of at most `INTEGER_BITS`.
    """
    expression = parameters.expression.strip()
    if len(expression) > EXPRESSION_CHARACTERS:
        raise ParametersInvalid(f"text.calculate: 'expression' is longer than {EXPRESSION_CHARACTERS} characters")
    try:
        value = _value(ast.parse(expression, mode="eval").body, {**_CONSTANTS, **parameters.variables}, 0)
    except (SyntaxError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ParametersInvalid(f"text.calculate: {expression[:80]!r} cannot be worked out: {reason}") from None
    return ToolResult(value, envelope={"value": value, "expression": parameters.expression})


def _value(node: ast.expr, names: Mapping[str, Number], depth: int) -> Number:
    """The number that a part of an expression stands for.

    Raises:
        ValueError, ArithmeticError, TypeError: it stands for none.
    """
    if depth > DEPTH:
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    match node:
        # `bool` is an `int`, but True is no number here.
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _checked(number)
        case ast.Name(id=name) if name in names:
            return _checked(names[name])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            return _SIGNS[type(op)](_value(operand, names, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _checked(_OPERATORS[type(op)](_value(left, names, depth + 1), _value(right, names, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _checked(_FUNCTIONS[name](*(_value(arg, names, depth + 1) for arg in args)))
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            raise ValueError(f"'{name}' is not known; there is {', '.join([*names, *_FUNCTIONS])}")
    raise ValueError(f"'{ast.unparse(node)[:40]}' is no arithmetic")


def _checked(number: object) -> Number:
    """The number, if it is finite, real and not too large.

    Raises:
        ValueError: it is not; JSON could not say it, or the next operation could take for ever.
    """
    if isinstance(number, int) and number.bit_length() <= INTEGER_BITS:
        return number
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ValueError("a number in it is not real, not finite, or too large")


def _power(base: Number, exponent: Number) -> object:
    """A power, refused before it is worked out where it would be too large: that alone could take for ever."""
    if isinstance(base, int) and isinstance(exponent, int) and (base.bit_length() - 1) * exponent > INTEGER_BITS:
        raise ValueError(f"a power in it has more than {INTEGER_BITS} bits")
    return base**exponent


def _rounded(number: Number, digits: Number = 0) -> Number:
    """`round`, to even where it lies in the middle, as Python does it. Without digits, an integer.

    Raises:
        ValueError: the digits are many: rounding to 10 ** 10 of them would take for ever.
    """
    if not isinstance(digits, int) or abs(digits) > 300:
        raise ValueError("round takes a whole number of at most 300 digits")
    return round(number, digits) if digits else round(number)


# All that an expression can reach. What is added here must end soon for every number of INTEGER_BITS.
_CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_OPERATORS: Mapping[type[ast.operator], Callable[[Number, Number], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "log": math.log,
    "max": max,
    "min": min,
    "round": _rounded,
    "sqrt": math.sqrt,
}


def echo(_context: ToolContext, parameters: EchoParameters) -> ToolResult:
    """Hand on a text, or any other value, as it is."""
    return ToolResult(parameters.text)
