"""A model server of our own: scripted answers over real HTTP on 127.0.0.1, in OpenAI's documented wire format.

    with ModelServer() as server:
        server.script(error(429, code="rate_limit_exceeded", headers={"retry-after": "2"}), text("hello"))
        ...                                     # point a provider, or a worker's OPENAI_BASE_URL, at server.url
        assert server.requests[0].body["model"] == "gpt-4o-mini"

Answers are taken from the script in the order in which requests come; once it is empty, the server echoes the last
message. It serves this process and any other on the machine.
"""

from __future__ import annotations

from tests.conformance.openai_wire import calls, echo, error, response, stream, text
from tests.conformance.scripted_server import HELD_SECONDS, Answer, Received, Script, ScriptedServer, event_stream, html

__all__ = [
    "HELD_SECONDS",
    "Answer",
    "ModelServer",
    "Received",
    "Script",
    "calls",
    "echo",
    "error",
    "event_stream",
    "html",
    "response",
    "stream",
    "text",
]


class ModelServer(ScriptedServer):
    """Speaks OpenAI's words where no script says otherwise."""

    def __init__(self) -> None:
        super().__init__(otherwise=echo)

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL takes."""
        return f"{self.root}/v1"
