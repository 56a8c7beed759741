"""A chat completion put together from the chunks of its stream.

Each chunk has the shape of a completion with a `delta` in the message's place: pieces of text, and fragments of calls,
which are told apart by an index. What the pieces make up is read as if it had come whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping, sequence


def texts(content: Json) -> str:
    """The text of a content: a string, or a list of parts, as some servers send where the model thinks aloud."""
    if isinstance(content, str):
        return content
    parts = (mapping(part) for part in sequence(content))
    return "".join(part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str))


@dataclass(slots=True)
class Completion:
    """What has come of one completion. `document` is what the server would have sent without a stream."""

    text: str = ""
    finish_reason: Json = None
    """The server's; None until it has named one, and then the reply is complete."""
    error: Json = None
    """What the choice says has gone wrong with it; gateways word it so where their provider fails on the way."""
    _top: dict[str, Any] = field(default_factory=dict)
    """Model and usage, as last told."""
    _message: dict[str, Any] = field(default_factory=dict)
    """Fields of the message besides its content and its calls."""
    _calls: list[dict[str, Any]] = field(default_factory=list)
    """In the order in which they began."""
    _places: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Index in the stream -> the call that its fragments belong to now."""

    def take(self, chunk: dict[str, Json]) -> str:
        """Add a chunk; gives the text that it brings."""
        self._top.update({name: chunk[name] for name in ("model", "usage") if chunk.get(name) is not None})
        # Of several choices the first is the reply. The last chunk has none: it brings the usage.
        choice = next((c for c in map(mapping, sequence(chunk.get("choices"))) if c.get("index") in (0, None)), {})
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.error = choice.get("error") or self.error
        delta = mapping(choice.get("delta"))
        for name, value in delta.items():
            self._merge(name, value)
        piece = texts(delta.get("content"))
        self.text += piece
        return piece

    def document(self) -> dict[str, Json]:
        """The completion as one document. Its content is text alone, also where the server sent parts."""
        message = {**self._message, "role": "assistant", "content": self.text or None}
        if self._calls:
            message["tool_calls"] = self._calls
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return {**self._top, "object": "chat.completion", "choices": [choice]}

    def _merge(self, name: str, value: Json) -> None:
        """Add a field of a delta. Words of reasoning have several names and come in pieces, as the refusal does."""
        match name, value:
            case ("content" | "role", _) | (_, None):
                pass
            case "tool_calls", list():
                for fragment in map(mapping, value):
                    self._add_to_call(fragment)
            case _, str() | list() if type(value) is type(self._message.get(name)):
                self._message[name] += value
            case _:
                self._message[name] = value

    def _add_to_call(self, fragment: dict[str, Json]) -> None:
        """Add a fragment to the call that it continues.

        That is the one at its index; servers that give all calls the same index, or none, tell them apart by the id.
        """
        index, id = str(fragment.get("index")), fragment.get("id")
        call = self._places.get(index)
        if call is None or (id and call["id"] and id != call["id"]):
            call = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            self._calls.append(call)
            self._places[index] = call
        function, added = call["function"], mapping(fragment.get("function"))
        call["id"] = call["id"] or id
        function["name"] = function["name"] or added.get("name")
        arguments = added.get("arguments")
        if isinstance(arguments, str) and isinstance(function["arguments"], str):
            function["arguments"] += arguments
        elif isinstance(arguments, dict):
            function["arguments"] = arguments  # whole, and parsed: not OpenAI's way, but some servers'
        for name, value in fragment.items():
            if name not in ("index", "id", "type", "function") and value is not None:
                call[name] = value
