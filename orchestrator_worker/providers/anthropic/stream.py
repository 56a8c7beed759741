"""The events of a streamed message, put together into the message that the API gives whole. Imports no SDK.

So one reader serves both, and a stream can say nothing that the whole message would not.
"""

from __future__ import annotations

import json
from collections import defaultdict

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping

_GROWS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Type of a delta -> the field that it adds to, in the delta and in the block."""

_BLOCK_OF = {**_GROWS, "signature_delta": "thinking", "input_json_delta": "tool_use", "citations_delta": "text"}
"""Type of a delta -> type of its block, should a server not have announced that."""

_ARGUMENTS = "partial_json"
"""Field of a delta with a piece of a call's arguments, which are JSON only when all pieces are there."""


class Gathering:
    """A message as far as it has come.

    Events: `message_start`; for each block of the content a start, deltas and a stop; `message_delta` with the reason
    of the end and the final counts; `message_stop`. `ping` and `error` may stand anywhere.
    """

    def __init__(self) -> None:
        self.stopped = False
        """Whether the event came after which there is nothing more of the message."""
        self.error: dict[str, Json] | None = None
        """The error that came in the stream, in the form of a body of its own."""
        self._message: dict[str, Json] = {}
        self._blocks: dict[int, dict[str, Json]] = {}
        self._grown: defaultdict[tuple[int, str], list[str]] = defaultdict(list)

    @property
    def complete(self) -> bool:
        """Whether the reason came for which the message ended."""
        return self._message.get("stop_reason") is not None

    @property
    def body(self) -> bytes:
        """What the API would have answered without a stream."""
        document = self.error or {**self._message, "content": [self._block(index) for index in sorted(self._blocks)]}
        return json.dumps(document).encode()

    def add(self, event: dict[str, Json]) -> str:
        """Add an event, and give the text in it. Kinds of events that we do not know are nothing to us: the API adds
        some without a new version."""
        match event.get("type"):
            case "message_start":
                self._message = dict(mapping(event.get("message")))
            case "content_block_start":
                return self._start(_index(event), mapping(event.get("content_block")))
            case "content_block_delta":
                return self._grow(_index(event), mapping(event.get("delta")))
            case "message_delta":
                self._message.update(_said(event.get("delta")))
                # Counts are totals so far; the last event does not repeat all of those that the first had.
                self._message["usage"] = {**mapping(self._message.get("usage")), **_said(event.get("usage"))}
            case "message_stop":
                self.stopped = True
            case "error":
                self.error = event
        return ""

    def _start(self, index: int, block: dict[str, Json]) -> str:
        """Begin a block, which may hold something already; give the text in it."""
        self._blocks[index] = block
        for field in _GROWS.values():
            if isinstance(block.get(field), str):
                self._grown[index, field].append(block[field])
        return block["text"] if block.get("type") == "text" and isinstance(block.get("text"), str) else ""

    def _grow(self, index: int, delta: dict[str, Json]) -> str:
        """Add to a block; give the text that was added. Pieces are joined at the end: there may be very many."""
        kind = str(delta.get("type"))
        if kind not in _BLOCK_OF:
            return ""
        block = self._blocks.setdefault(index, {"type": _BLOCK_OF[kind]})
        if kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
            return ""
        field = _GROWS.get(kind, _ARGUMENTS)
        piece = delta.get(field)
        if not isinstance(piece, str):
            return ""
        self._grown[index, field].append(piece)
        return piece if kind == "text_delta" and block.get("type") == "text" else ""

    def _block(self, index: int) -> dict[str, Json]:
        """A block with all that was added. Arguments that are not JSON stay the text that they are."""
        block = dict(self._blocks[index])
        for (of, field), pieces in self._grown.items():
            if of == index:
                block[field] = "".join(pieces)
        arguments = block.pop(_ARGUMENTS, "")
        if arguments:
            block["input"] = _arguments(arguments)
        return block


def _index(event: dict[str, Json]) -> int:
    """Place of the event's block in the content, from 0."""
    index = event.get("index")
    return index if isinstance(index, int) else 0


def _said(fields: Json) -> dict[str, Json]:
    """The fields that hold something."""
    return {name: value for name, value in mapping(fields).items() if value is not None}


def _arguments(text: str) -> Json:
    """The arguments in a text, or the text where there are none to be read in it."""
    arguments, problem = answers.call_arguments(text)
    return text if problem else arguments
