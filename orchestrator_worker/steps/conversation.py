"""What a model step has behind it: the turns of its conversation, so that no turn is paid for twice. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_worker.providers.base import Message, ModelReply, ToolCall, ToolReturn

RETURN_CHARACTERS = 200_000
"""Of a tool's result that the model is shown; about 50,000 tokens."""


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool that the model asked for in a turn."""

    id: str
    name: str
    arguments: dict[str, Json]
    instance: str = ""
    """The step that makes the call; empty where it was refused."""
    refusal: str = ""
    """What the model is told instead of a result."""


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One answer of the model, and what it was told then."""

    text: str
    native: Json = None
    calls: tuple[AskedCall, ...] = ()
    told: str = ""
    """What was wrong with the answer, where it asked for no tools."""

    @classmethod
    def of(cls, stored: Mapping[str, Json]) -> Self:
        calls = tuple(AskedCall(**call) for call in stored.get("calls", ()))
        return cls(stored["text"], stored.get("native"), calls, stored.get("told", ""))


@dataclass(frozen=True, slots=True)
class Memo:
    """What an attempt leaves for the next one."""

    model: int = 0
    """Which of the step's models is asked, counted from 0."""
    turns: tuple[PastTurn, ...] = ()
    usage: Usage = field(default=NO_USAGE)
    """Of all calls so far."""
    earlier: int = 0
    """Turns of the models that were asked before this one."""
    models: tuple[str, ...] = ()
    """The step's models, in the order in which they are asked: chosen once, whatever the conversation grows to."""
    selection: str = ""
    """Why the first of them."""

    @classmethod
    def of(cls, stored: Json) -> Self:
        """From `to_json`; empty from None."""
        if stored is None:
            return cls()
        return cls(
            model=stored["model"],
            turns=tuple(PastTurn.of(turn) for turn in stored["turns"]),
            usage=Usage.model_validate(stored["usage"]),
            earlier=stored.get("earlier", 0),
            models=tuple(stored.get("models", ())),
            selection=stored.get("selection", ""),
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "model": self.model,
            "turns": [_stored(turn) for turn in self.turns],
            "usage": self.usage.model_dump(mode="json"),
            "earlier": self.earlier,
            "models": list(self.models),
            "selection": self.selection,
        }

    @property
    def number(self) -> int:
        """The turn that is under way, counted from 1 over all of the step's models: what it asks for goes by it, and
        no two steps may have one name."""
        return self.earlier + len(self.turns) + 1

    @property
    def asked(self) -> list[str]:
        """The steps whose values the conversation needs, of all turns."""
        return [call.instance for turn in self.turns for call in turn.calls if call.instance]

    @property
    def repaired(self) -> bool:
        """Whether the model was told already what was wrong with its answer."""
        return any(turn.told for turn in self.turns)

    def with_turn(self, turn: PastTurn, usage: Usage) -> Memo:
        return replace(self, turns=(*self.turns, turn), usage=self.usage + usage)

    def for_model(self, model: int) -> Memo:
        """The same for another model, which starts the conversation anew: what one said is not the other's."""
        return replace(self, model=model, turns=(), earlier=self.number - 1)

    def messages(self, returned: Mapping[str, Json]) -> Iterator[Message]:
        """The turns as messages; `returned` are the values of the steps that were asked for."""
        for turn in self.turns:
            calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in turn.calls)
            yield Message("assistant", (turn.text,) if turn.text else (), calls, native=turn.native)
            if turn.calls:
                yield Message("tool", returns=tuple(_returned(call, returned) for call in turn.calls))
            else:
                yield Message.of("user", turn.told)


def turn_of(reply: ModelReply, calls: tuple[AskedCall, ...] = (), told: str = "") -> PastTurn:
    """A reply as a past turn."""
    return PastTurn(reply.text, reply.native, calls, told)


def _stored(turn: PastTurn) -> dict[str, Json]:
    calls = [
        {"id": c.id, "name": c.name, "arguments": c.arguments, "instance": c.instance, "refusal": c.refusal}
        for c in turn.calls
    ]
    return {"text": turn.text, "native": turn.native, "calls": calls, "told": turn.told}


def _returned(call: AskedCall, returned: Mapping[str, Json]) -> ToolReturn:
    """What the tool gave, as text: its result, or why there is none."""
    if not call.instance:
        return ToolReturn(call.id, call.name, call.refusal, failed=True)
    value = returned.get(call.instance)
    found = value if isinstance(value, dict) else {"success": False, "error": "the tool left nothing"}
    failed = not found.get("success")
    content = found.get("error") or "the tool failed" if failed else found.get("result")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    if len(text) > RETURN_CHARACTERS:
        text = f"{text[:RETURN_CHARACTERS]}\n[cut: {len(text):,} characters in all]"
    return ToolReturn(call.id, call.name, text, failed)
