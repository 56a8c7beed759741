"""OpenAI's models, by the Responses API.

The one file that imports `openai`, and only when it is warmed up or first called. The SDK carries requests and
answers; what is in them is read and written here and next door, because its models take for granted what gateways leave
out.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.keys import KEY_VARIABLES
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import ProviderKind
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelRequest, OnText
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.openai.failure import refused, told
from orchestrator_worker.providers.openai.reply import read
from orchestrator_worker.providers.openai.request import worded
from orchestrator_worker.providers.openai.schema import is_wrapped
from orchestrator_worker.providers.vendor import Answer, Vendor

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI

URL_VARIABLE = "OPENAI_BASE_URL"
"""Environment variable with the address of a gateway or test server; ends in `/v1` as a rule."""

ENDS = ("response.completed", "response.incomplete", "response.failed")
"""Events that end a stream and hold the whole response."""


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt that had so many seconds."""
    try:
        import openai
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[openai] on the workers")
    from orchestrator_worker.providers import http

    if isinstance(error, openai.APIStatusError):
        code = str(error.code or error.type or "")
        return refused(error.status_code, code, _said(error), error.response.headers, failures)
    return http.failure(error, failures, seconds, openai.APIConnectionError)


def _said(error: Any) -> str:
    """The vendor's own words in an error's body, or the body."""
    message = mapping(error.body).get("message")
    return message if isinstance(message, str) else str(error.response.text)


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Whether a stream that was asked for is one: servers that know none answer with the whole document."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"


async def events(response: AsyncAPIResponse[Any], failures: Failures) -> AsyncIterator[dict[str, Json]]:
    """The events of a stream as they stand on the wire; those that are no JSON object say nothing.

    Raises:
        ModelFailed: an event is not JSON, or tells of an error.
    """
    import openai

    stream = await response.parse(to=openai.AsyncStream[object])
    try:
        async for event in stream:
            if isinstance(event, dict):
                yield event
    except (ValueError, RecursionError) as error:
        raise failures.bad_response("an event that is not JSON", str(getattr(error, "doc", error))) from None
    except openai.APIError as error:
        # The SDK raises the error that an event holds as the root of its tree, without a status.
        if type(error) is not openai.APIError:
            raise
        raise told(error.body, response.headers, failures) from None


class OpenAI(Vendor["AsyncOpenAI"]):
    """Calls OpenAI, or a server that speaks its Responses API at `base_url` or OPENAI_BASE_URL."""

    vendor = "openai"
    key_variables = KEY_VARIABLES[ProviderKind.OPENAI]
    failure = staticmethod(_failure)
    reply = staticmethod(read)

    @staticmethod
    def _import_sdk() -> None:
        """Import the SDK with both of its APIs, each of which it would load when it is first asked for."""
        import openai.resources.chat.chat
        import openai.resources.responses.responses  # noqa: F401

        from orchestrator_worker.providers import http

        http.warm()

    async def _exchange(self, request: ModelRequest, failures: Failures, on_text: OnText | None) -> Answer:
        """Send the request and read the whole answer; with `on_text`, as a stream.

        Raises:
            ModelFailed: a message holds what the API has no word for, or a stream did not come to its end.
        """
        create: Callable[..., Any] = self._clients.here(failures.key).responses.with_streaming_response.create
        call = worded(request, failures)
        streamed = {} if on_text is None else {"stream": True}
        # As an extra body, because the SDK's own parameters take nothing that it does not know.
        async with create(extra_body=call.body, timeout=request.timeout_seconds, **streamed) as response:
            if on_text is not None and is_event_stream(response.headers):
                answer = await self._streamed(response, request, failures, on_text)
                return replace(answer, warnings=call.left_out)
            answer = Answer(await response.read(), response.headers, call.left_out)
            if on_text is not None and (text := self.reply(answer, request, failures).text):
                on_text(text)
            return answer

    async def _streamed(
        self, response: AsyncAPIResponse[Any], request: ModelRequest, failures: Failures, on_text: OnText
    ) -> Answer:
        """The response that the stream ends with; its text is told as it comes.

        Raises:
            ModelFailed: an event tells of an error, or none of the stream's ends came.
        """
        from orchestrator_worker.providers import http

        said: list[str] = []
        items: list[Json] = []
        # Of a reply that comes within an object the pieces are not what the step asked for.
        is_told_whole = request.schema is not None and is_wrapped(request.schema)
        coming = events(response, failures)
        async for event in coming:
            match event.get("type"):
                case "response.output_text.delta" if isinstance(event.get("delta"), str) and event["delta"]:
                    said.append(answers.storable(event["delta"]))
                    if not is_told_whole:
                        on_text(said[-1])
                case "response.output_item.done":
                    items.append(event.get("item"))
                case "error":
                    raise told(event, response.headers, failures)
                case kind if kind in ENDS:
                    answer = _ended(event.get("response"), items, response.headers)
                    text = self.reply(answer, request, failures).text
                    # A server that sends no pieces has told nothing yet.
                    if text and (is_told_whole or not said):
                        on_text(text)
                    await http.drain(coming)
                    return answer
        raise failures.truncated("".join(said))

    def _connect(self, key: str) -> AsyncOpenAI:
        """A client that tries once."""
        import openai

        from orchestrator_worker.providers import http

        return openai.AsyncOpenAI(
            # The SDK wants a key also for servers that want none.
            api_key=key or "none",
            base_url=self._address(),
            default_headers=self._section.headers,
            max_retries=0,
            http_client=http.pooled_client(),
        )

    def _address(self) -> str:
        """The section's, else the variable's, else OpenAI's."""
        return self._section.base_url or os.environ.get(URL_VARIABLE, "").strip() or "https://api.openai.com/v1"


def _ended(response: Json, items: list[Json], headers: Mapping[str, str]) -> Answer:
    """The last event's response. Some servers leave its output out, because its items were told before."""
    if isinstance(response, dict) and not sequence(response.get("output")) and items:
        response = {**response, "output": items}
    return Answer(json.dumps(response).encode(), headers)
