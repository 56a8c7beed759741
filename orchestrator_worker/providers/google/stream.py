"""The chunks of a streamed answer, put together into the answer that the API gives whole. Free of the SDK.

So one reader serves both.
"""

from __future__ import annotations

import json

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.google.content import parts, texts


class Gathering:
    """One answer, put together from the chunks of a stream. Each chunk is an answer with the parts that are new."""

    def __init__(self) -> None:
        self._answer: dict[str, Json] = {}
        self._candidate: dict[str, Json] = {}
        self._content: dict[str, Json] = {}
        self._parts: list[dict[str, Json]] = []
        self._pieces: list[str] = []
        """Of the last part, if it is one that grows."""

    @property
    def ended(self) -> bool:
        """Whether the reason came that ends an answer. For a prompt that is blocked it is the only chunk."""
        feedback = mapping(self._answer.get("promptFeedback"))
        return bool(self._candidate.get("finishReason") or feedback.get("blockReason"))

    def add(self, chunk: dict[str, Json]) -> str:
        """Take one chunk; returns the text in it. Counts are sums so far, so that the last ones stand."""
        # Options may ask for more candidates than one; their chunks are mixed, and the first candidate is the reply.
        candidates = map(mapping, sequence(chunk.get("candidates")))
        candidate = next((candidate for candidate in candidates if not candidate.get("index")), {})
        content = mapping(candidate.get("content"))
        self._answer |= _without(chunk, "candidates")
        self._candidate |= _without(candidate, "content")
        self._content |= _without(content, "parts")
        for part in parts(content):
            self._join(part)
        return "".join(texts(content))

    def body(self) -> bytes:
        """The answer as it would have come in one piece."""
        self._close()
        document = dict(self._answer)
        if self._candidate or self._parts:
            document["candidates"] = [{**self._candidate, "content": {**self._content, "parts": [*self._parts]}}]
        return json.dumps(document).encode()

    def text(self) -> str:
        """What the model has said so far."""
        self._close()
        return "".join(texts({"parts": [*self._parts]}))

    def _join(self, part: dict[str, Json]) -> None:
        """Text goes on in the part before. One with a signature stays alone, because the signature is of that part.

        A stream ends with an empty text, which the answer in one piece has not, and no request may have.
        """
        if part == {"text": ""}:
            return
        grows = isinstance(part.get("text"), str) and part.keys() <= {"text", "thought"}
        if not (grows and self._pieces and self._parts[-1].get("thought") == part.get("thought")):
            self._close()
            self._parts.append(dict(part))
        if grows:
            self._pieces.append(str(part["text"]))

    def _close(self) -> None:
        """The last part is whole."""
        if self._pieces:
            self._parts[-1]["text"] = "".join(self._pieces)
            self._pieces = []


def _without(record: dict[str, Json], name: str) -> dict[str, Json]:
    """A copy that lacks one field."""
    return {key: value for key, value in record.items() if key != name}
