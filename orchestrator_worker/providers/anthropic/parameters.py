"""What Anthropic's models take besides messages: tools, thought, sampling. Imports no SDK.

What a model takes is read off its name before it is asked, because the API answers 400 to what it does not take. A name
that nobody knows here is that of a newer model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.base import ModelRequest

DEFAULT_MAX_TOKENS = 4096
"""Of a reply to a request that sets no limit: the API takes none without, and every model can write this much."""

LEAST_THOUGHT_TOKENS = 1024
"""The API takes no smaller budget of thought."""

THOUGHT = {"minimal": 0.25, "low": 0.25, "medium": 0.5, "high": 0.75}
"""Effort -> share of `max_tokens` that goes into the budget of thought, where a model has one. The rest is left for
the reply: `max_tokens` holds for both together."""

EFFORTS = {"minimal": "low"}
"""Effort in our words -> in Anthropic's, where they differ."""

CHOICES = {"required": {"type": "any"}, "none": {"type": "none"}}
"""Choice of a tool in our words -> in Anthropic's; every other is a tool's name."""

_BUDGETED = re.compile(r"claude-(3[-.]7|(opus|sonnet|haiku)-4(-20\d{6}|[-.][015]\b|\b(?![-.]\d)))")
"""Models that are told a budget of thought. Later ones, and those that we do not know, are told an effort."""

_THOUGHTLESS = re.compile(r"claude-3(?![-.]7)")
"""Models that cannot think aloud at all."""

_ALWAYS_THINK = re.compile(r"claude-(fable|mythos)")
"""Models that answer 400 where thought is switched off, and where a tool is forced, which needs that."""

_UNSAMPLED = re.compile(r"claude-(fable|mythos|opus-4[-.][7-9]|(opus|sonnet|haiku)-[5-9])")
"""Models that take no temperature, whatever the version of the API."""

LeaveOut = Callable[[str], None]
"""Notes what of a request is left out."""


def max_tokens(request: ModelRequest) -> int:
    """The limit to send: the API takes no request without."""
    return DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens


def tools(request: ModelRequest, leave_out: LeaveOut) -> dict[str, Any]:
    """The tools on offer, and which of them to call. Not in the API's strict mode, which takes fewer schemas."""
    if not request.tools:
        return {}
    offers = [
        {
            "name": offer.name,
            **({"description": offer.description} if offer.description else {}),
            "input_schema": {"type": "object", **mapping(offer.parameters)},
        }
        for offer in request.tools
    ]
    if _forces(request) and _ALWAYS_THINK.search(request.model):
        leave_out(f"tool_choice that forces a call from {request.model}")
        return {"tools": offers}
    if request.tool_choice == "auto":
        return {"tools": offers}
    choice = CHOICES.get(request.tool_choice, {"type": "tool", "name": request.tool_choice})
    return {"tools": offers, "tool_choice": choice}


def _forces(request: ModelRequest) -> bool:
    """Whether a tool must be called, which no model does while it thinks."""
    return bool(request.tools) and request.tool_choice not in ("auto", "none")


def reasoning(request: ModelRequest, leave_out: LeaveOut) -> dict[str, Any]:
    """How much to think, by a budget or by an effort, as the model takes it."""
    effort = request.reasoning_effort
    if effort is None:
        return {}
    if _THOUGHTLESS.search(request.model) or _BUDGETED.search(request.model):
        return {} if effort == "none" else _budget(request, effort, leave_out)
    always = _ALWAYS_THINK.search(request.model) is not None
    if effort == "none":
        if always:
            leave_out(f"reasoning_effort 'none' for {request.model}")
        return {} if always else {"thinking": {"type": "disabled"}}
    thinking = "disabled" if _forces(request) and not always else "adaptive"
    return {"thinking": {"type": thinking}, "output_config": {"effort": EFFORTS.get(effort, effort)}}


def _budget(request: ModelRequest, effort: str, leave_out: LeaveOut) -> dict[str, Any]:
    """A budget of thought, which must leave something of `max_tokens` for the reply."""
    tokens = int(max_tokens(request) * THOUGHT.get(effort, THOUGHT["high"]))
    if _THOUGHTLESS.search(request.model):
        leave_out(f"reasoning_effort for {request.model}")
    elif _forces(request):
        leave_out("reasoning_effort where a tool is forced")
    elif tokens < LEAST_THOUGHT_TOKENS:
        leave_out(f"reasoning_effort with a max_tokens of {max_tokens(request)}")
    else:
        return {"thinking": {"type": "enabled", "budget_tokens": tokens}}
    return {}


def sampling(request: ModelRequest, samples: bool, thinks: bool, leave_out: LeaveOut) -> dict[str, Any]:
    """Temperature and top_p, which the API had in former versions, for models of that time that do not think."""
    given = {"temperature": request.temperature, "top_p": request.top_p}
    asked = {name: value for name, value in given.items() if value is not None}
    if samples and not thinks and not _UNSAMPLED.search(request.model):
        return asked
    for name in asked:
        leave_out(f"{name} with reasoning_effort" if samples and thinks else name)
    return {}


def stop(request: ModelRequest, leave_out: LeaveOut) -> dict[str, Any]:
    """Texts that end the reply. The API refuses those that are blank."""
    for blank in (text for text in request.stop if not text.strip()):
        leave_out(f"blank text to stop at, such as {blank!r}")
    texts = [text for text in request.stop if text.strip()]
    return {"stop_sequences": texts} if texts else {}
