"""Google's contents: one side of a conversation's turn, whose parts are text, thoughts, media, calls and results.

Read here for answers, for the pieces of a stream, and for what a former answer put into a conversation.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ToolCall


def texts(content: Json) -> Iterator[str]:
    """What a content says. Summaries of thoughts, which come where options ask for them, are not part of it."""
    for part in parts(content):
        if isinstance(part.get("text"), str) and not part.get("thought"):
            yield str(part["text"])


def calls(content: Json) -> tuple[ToolCall, ...]:
    """The functions that a content asks for, in its order. Those without an id get `call_1`, `call_2` and so on."""
    return tuple(_call(call, number) for number, call in enumerate(_asked(content), 1))


def nameless_calls(content: Json) -> frozenset[str]:
    """The ids that `calls` makes up for this content: Google does not know them."""
    return frozenset(_made_up(number) for number, call in enumerate(_asked(content), 1) if not _given(call))


def parts(content: Json) -> list[dict[str, Json]]:
    """The parts of a content that are any."""
    return [part for part in sequence(mapping(content).get("parts")) if isinstance(part, dict)]


def _asked(content: Json) -> list[dict[str, Json]]:
    """The functions that a content asks for, as Google words them."""
    return [mapping(part["functionCall"]) for part in parts(content) if isinstance(part.get("functionCall"), dict)]


def _call(call: dict[str, Json], number: int) -> ToolCall:
    """One call. Google leaves out arguments that are empty."""
    # Google's arguments are JSON whatever the model wrote; a server that is not Google's may send them as text.
    arguments, problem = answers.call_arguments(call.get("args"))
    name = answers.storable(str(call.get("name") or ""))
    return ToolCall(
        id=_given(call) or _made_up(number),
        name=name,
        arguments=arguments,
        problem=problem if name else "the call names no tool",
    )


def _given(call: dict[str, Json]) -> str:
    """The id that Google gave a call; empty for most, since it tells calls apart by name and order."""
    return str(call["id"]) if isinstance(call.get("id"), str) else ""


def _made_up(number: int) -> str:
    """The id of the call of this number, counted from 1; the same whenever the same content is read."""
    return f"call_{number}"
