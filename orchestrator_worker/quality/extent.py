"""Rules on how much there is: bytes, characters, words, lines, items."""

from __future__ import annotations

from orchestrator_client.contract.plan import Json
from orchestrator_worker.quality.subject import Subject, Unmet


def check_size(asks: Json, subject: Subject) -> None:
    """Raises Unmet if there are too few or too many bytes."""
    _check(asks, subject.size_bytes, "bytes")


def check_length(asks: Json, subject: Subject) -> None:
    """Raises Unmet if it is too short or too long; of `items`, also if it is no list."""
    unit = asks.get("unit", "characters")
    match unit:
        case "words":
            found = len(subject.text.split())
        case "lines":
            found = len(subject.text.splitlines())
        case "items":
            value = subject.json()
            if not isinstance(value, list | dict):
                raise Unmet(f"it has no items, it is {_kind(value)}")
            found = len(value)
        case _:
            found = len(subject.text)
    _check(asks, found, unit)


def _check(asks: Json, found: int, unit: str) -> None:
    least, most = asks.get("min"), asks.get("max")
    if least is not None and found < least:
        raise Unmet(f"{found:,} {unit}, at least {least:,} are asked for")
    if most is not None and found > most:
        raise Unmet(f"{found:,} {unit}, at most {most:,} are asked for")


def _kind(value: Json) -> str:
    return {str: "a text", bool: "a boolean", type(None): "nothing"}.get(type(value), "a number")
