"""Inputs of a run as the command line gives them: `-i key=value`, and `-c` with a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.show.text import printable

if TYPE_CHECKING:
    from orchestrator_client.contract.plan import Input


def read_inputs(declared: Mapping[str, Input], context: Path | None, pairs: Iterable[str]) -> dict[str, Any]:
    """What the caller gave; a pair goes before the same name in the file, and the last of two pairs before the first.

    Raises:
        click.BadParameter: the file is no JSON object, or a pair has no `=`.
    """
    given = _read_context(context) if context is not None else {}
    texts = texts_of(pairs, "key=value", "-i")
    return given | {name: value_of(text, declared.get(name)) for name, text in texts.items()}


def texts_of(pairs: Iterable[str], form: str, option: str | None = None) -> dict[str, str]:
    """What pairs of `form` give, as text; the last of two of one name.

    Raises:
        click.BadParameter: a pair has no `=`, or no name; `option` is where it was given, if click cannot tell.
    """
    given = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected {form}, found '{printable(pair)}'", param_hint=option)
        given[name] = text
    return given


def value_of(text: str, declared: Input | None) -> Any:
    """The value that `text` spells: JSON if it is, else the text itself.

    For an input that is declared as a string, only JSON text is taken as JSON: `1.10` stays as it was written.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    if declared is not None and declared.type == "string" and not isinstance(value, str):
        return text
    return value


def _refuse(constant: str) -> Any:
    """NaN and Infinity are no JSON, whatever Python says."""
    raise ValueError(constant)


def _read_context(path: Path) -> dict[str, Any]:
    """The inputs in a file, with or without a byte order mark.

    Raises:
        click.BadParameter: it is no JSON object; says where in the file.
    """
    try:
        given = json.loads(path.read_text("utf-8-sig"), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise _unusable(f"{path}:{error.lineno}:{error.colno}  not JSON: {error.msg}") from error
    except RecursionError as error:
        raise _unusable(f"{path}  nested too deep") from error
    except ValueError as error:
        raise _unusable(f"{path}  not JSON: {error}") from error
    if not isinstance(given, dict):
        raise _unusable(f'{path}  expected an object of inputs, as in {{"name": "value"}}')
    return given


def _unusable(message: str) -> click.BadParameter:
    """The refusal of a file, with nothing of the file's that a terminal would obey."""
    return click.BadParameter(printable(message), param_hint="-c")
