"""Tools that a model step offers its model, and what becomes of the model's wish to use them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from orchestrator_client.contract import caps
from orchestrator_client.contract.catalog import LANGCHAIN_PREFIX, TOOL_ALIASES, TOOLS, default_action, suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.names import TOOL_QUEUE
from orchestrator_client.contract.plugins import plugin_of
from orchestrator_client.contract.tool import LANGCHAIN_CONFIG, LANGCHAIN_ERRORS
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.providers.base import ToolCall, ToolOffer
from orchestrator_worker.records import Asked
from orchestrator_worker.steps.conversation import AskedCall
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.signature import NOTHING_FITS

_PREFIX = re.compile(r"^\w+:")

NAME_CHARACTERS = 64
"""Longest name of a tool that all providers take."""


def offers_of(names: Sequence[str]) -> dict[str, tuple[str, ToolOffer]]:
    """The tools by the names that the model sees, each with its name in the registry.

    Raises:
        ParametersInvalid: there is no such tool, or two of them look alike to a model.
    """
    offers: dict[str, tuple[str, ToolOffer]] = {}
    for written in names:
        uses = registry_name(written)
        offer = _offer(uses)
        if offer.name in offers and offers[offer.name][0] != uses:
            raise ParametersInvalid(
                f"tools '{offers[offer.name][0]}' and '{uses}' have one name for a model: {offer.name}"
            )
        offers[offer.name] = (uses, offer)
    return offers


def registry_name(written: str) -> str:
    """The name in the registry of a tool as a plan writes it.

    Raises:
        ParametersInvalid: there is none.
    """
    if ":" in written or written in TOOLS or plugin_of(written):
        return written
    tool, _, action = written.partition(".")
    tool = TOOL_ALIASES.get(tool, tool)
    uses = f"{tool}.{action or default_action(tool) or ''}"
    if uses not in TOOLS:
        near = suggestion(uses, TOOLS)
        raise ParametersInvalid(f"parameter 'tools': there is no tool '{written}'; {near or 'name tool.action'}")
    return uses


def _offer(uses: str) -> ToolOffer:
    try:
        info = registry.resolve(uses).info
    except ParametersInvalid as error:
        raise ParametersInvalid(f"parameter 'tools': {error}") from error
    required = info.parameters.get("required") or ()
    if NOTHING_FITS in [(info.parameters.get("properties") or {}).get(name) for name in required]:
        raise ParametersInvalid(f"parameter 'tools': the arguments of {uses} have no JSON Schema; annotate them")
    # Of the registry's names those with a prefix are import paths, of which the end tells most.
    name = re.sub(r"[^A-Za-z0-9_-]", "_", re.sub(_PREFIX, "", uses))[-NAME_CHARACTERS:]
    return ToolOffer(name, info.description, info.parameters)


def asked_by(
    instance: str, turn: int, calls: Sequence[ToolCall], offers: Mapping[str, tuple[str, ToolOffer]]
) -> tuple[tuple[AskedCall, ...], tuple[Asked, ...]]:
    """What the model asked for in a turn: as the conversation keeps it, and the steps that make the calls.

    A call of a tool that was not offered, that cannot be read, or that comes after the most there may be is refused:
    the model is told why, and nothing runs.
    """
    kept: list[AskedCall] = []
    steps: list[tuple[str, str, ToolCall]] = []
    for number, call in enumerate(calls, 1):
        refusal = _refusal(number, call, offers)
        child = "" if refusal else f"{instance}#{turn}.{number}"
        kept.append(AskedCall(call.id, call.name, call.arguments, child, refusal))
        if child:
            steps.append((child, offers[call.name][0], call))
    memos = {child: AskedStep(instance, turn, len(steps), uses, call.arguments) for child, uses, call in steps}
    return tuple(kept), tuple(Asked(child, TOOL_QUEUE, asked.memo()) for child, asked in memos.items())


def _refusal(number: int, call: ToolCall, offers: Mapping[str, tuple[str, ToolOffer]]) -> str:
    if number > caps.CALLS_OF_A_TURN:
        return f"at most {caps.CALLS_OF_A_TURN} tools are called at once; ask for the others in the next turn"
    if call.name not in offers:
        return f"there is no tool '{call.name}'; there are: {', '.join(offers)}"
    reserved = {LANGCHAIN_CONFIG, LANGCHAIN_ERRORS} & call.arguments.keys()
    if reserved and offers[call.name][0].startswith(LANGCHAIN_PREFIX):
        return f"there is no parameter '{min(reserved)}'"
    return f"the arguments cannot be read: {call.problem}" if call.problem else ""
