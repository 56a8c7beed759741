"""Limits as people write them."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.limits import Dimension, Scope
from orchestrator_client.gates import IN_FLIGHT

SETTABLE = (*(dimension.value for dimension in Dimension), IN_FLIGHT)
"""What `limits set` takes: limits a minute, and calls at a time."""

LARGEST = 10**12
"""Far above any provider's limit, and exact in Lua's numbers."""


def checked_scope(text: str) -> str:
    """A scope in full: `openai/gpt-5` is `openai/default/gpt-5`.

    Raises:
        InputsInvalid: it is none, or stands for many.
    """
    try:
        scope = Scope.parse(text)
    except ValueError as error:
        raise InputsInvalid([str(error)]) from None
    if not all((scope.provider, scope.credential, scope.model)) or "*" in text:
        raise InputsInvalid([f"{text!r} is no single scope; write provider/credential/model, without *"])
    return str(scope)


def checked_limits(limits: Mapping[str, int | None]) -> dict[str, int]:
    """Limits by dimension; 0 for one that is to be taken away.

    Raises:
        InputsInvalid: there is no such limit, or it is no whole number; all that is wrong is named.
    """
    problems = [] if limits else [f"no limit is given; write one of {', '.join(f'{name}=N' for name in SETTABLE)}"]
    for name, limit in limits.items():
        if name not in SETTABLE:
            problems.append(f"no limit {name!r}; there are: {', '.join(SETTABLE)}")
        elif limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= LARGEST):
            problems.append(f"{name} is {limit!r}; write a whole number, or none")
    if problems:
        raise InputsInvalid(problems)
    return {name: limit or 0 for name, limit in limits.items()}


def parsed_limits(words: tuple[str, ...]) -> dict[str, int | None]:
    """`requests=600`, `tokens=90_000`, `in_flight=none`: what a command line gives.

    Raises:
        InputsInvalid: a word has no such form.
    """
    found: dict[str, int | None] = {}
    for word in words:
        name, _, amount = word.partition("=")
        plain = amount.strip().replace("_", "").replace(",", "")
        if plain.lower() != "none" and not plain.isdecimal():
            raise InputsInvalid([f"{word!r} is no limit; write requests=600, or requests=none to take it away"])
        found[name.strip()] = None if plain.lower() == "none" else int(plain)
    return found
