"""A server that speaks OpenAI's API under a name that the project configures: Ollama, vLLM, a gateway, another vendor.

[providers.ollama]
base_url = "http://127.0.0.1:11434/v1"
api = "chat"                              # or "responses"
key = "OLLAMA_API_KEY"                    # an environment variable; without one, no key is sent
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract.errors import ModelFailed, ParametersInvalid
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL
from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.base import ModelReply, ModelRequest, OnText
from orchestrator_worker.providers.compatible.failure import is_error, refused, told
from orchestrator_worker.providers.compatible.reply import read
from orchestrator_worker.providers.compatible.request import is_wrapped, worded
from orchestrator_worker.providers.compatible.stream import Completion
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.openai.client import OpenAI, events, is_event_stream
from orchestrator_worker.providers.vendor import Answer

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncAPIResponse, AsyncOpenAI


class OpenAICompatible(OpenAI):
    """Calls one server, by chat completions, or by the Responses API where its section says so.

    It is OpenAI's client with another address, another key or none, and another reading of errors: servers that speak
    the API make up their own where OpenAI has a form.
    """

    vendor = "openai-compatible"

    def __init__(self, section: ProviderSection | None = None, name: str = "") -> None:
        """
        Raises:
            ParametersInvalid: the section does not say where the server is.
        """
        super().__init__(section, name)
        if not self._section.base_url:
            raise ParametersInvalid(
                f"provider {self.name} has no address; set [providers.{self.name}] base_url in orchestrator.toml of"
                " this worker, ending in /v1 as a rule"
            )

    def _failures(self, credential: str) -> Failures:
        """Words for one call; without a key where neither the section nor the request names one."""
        # OpenAI's own variable is never looked at: its key is no other server's.
        if self._section.key or credential not in ("", DEFAULT_CREDENTIAL):
            return super()._failures(credential)
        return Failures(self.name, f"`key` of [providers.{self.name}]", key="")

    async def _exchange(self, request: ModelRequest, failures: Failures, on_text: OnText | None) -> Answer:
        """Send the request, in the words of the API that the server speaks, and read the whole answer."""
        if self._section.api == "responses":
            return await super()._exchange(request, failures, on_text)
        create: Callable[..., Any] = self._clients.here(failures.key).chat.completions.with_streaming_response.create
        body = worded(request, failures, is_streamed=on_text is not None).body
        # All of it is in the extra body, because the SDK's own parameters take nothing that it does not know.
        known = {"model": body["model"], "messages": body["messages"], **({} if on_text is None else {"stream": True})}
        async with create(**known, extra_body=body, timeout=request.timeout_seconds) as response:
            if on_text is not None and is_event_stream(response.headers):
                return await self._chunked(response, request, failures, on_text)
            answer = Answer(await response.read(), response.headers)
        if on_text is not None and (text := self.reply(answer, request, failures).text):
            on_text(text)
        return answer

    async def _chunked(
        self, response: AsyncAPIResponse[Any], request: ModelRequest, failures: Failures, on_text: OnText
    ) -> Answer:
        """The completion that the chunks of a stream make up; its text is told as it comes."""
        completion = Completion()
        is_told_whole = is_wrapped(request)
        async for chunk in events(response, failures):
            if is_error(chunk):
                raise told(chunk, response.headers, failures)
            # Gateways tell within the choice that their provider failed on the way.
            piece = answers.storable(completion.take(chunk))
            if completion.error:
                raise told({"error": completion.error}, response.headers, failures)
            if piece and not is_told_whole:
                on_text(piece)
        if not completion.finish_reason:
            raise failures.truncated(completion.text)
        answer = Answer(json.dumps(completion.document()).encode(), response.headers)
        if is_told_whole and (text := self.reply(answer, request, failures).text):
            on_text(text)
        return answer

    def _connect(self, key: str) -> AsyncOpenAI:
        """A client that tries once, and tells the server nothing of an account at OpenAI."""
        client = super()._connect(key)
        # The SDK reads them from variables of its own.
        client.organization = client.project = None
        if key or "authorization" in map(str.lower, self._section.headers):
            return client
        from orchestrator_worker.providers import http

        pool = http.pooled_client()
        pool.event_hooks["request"].append(_leave_the_key_out)
        return client.with_options(http_client=pool)

    @staticmethod
    def failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
        """What an exception means; a refusal in whatever words the server has."""
        status, response = getattr(error, "status_code", None), getattr(error, "response", None)
        # The SDK's error for a status, told by what it holds: its class is in the SDK, which another file imports.
        if isinstance(status, int) and response is not None:
            body = getattr(error, "body", None)
            return refused(status, body, response.text, response.headers, failures)
        return OpenAI.failure(error, failures, seconds)

    def reply(self, answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:  # type: ignore[override]
        """A successful answer in nobody's dialect; raises ModelFailed if it is not complete."""
        read_as = OpenAI.reply if self._section.api == "responses" else read
        return read_as(answer, request, failures)


async def _leave_the_key_out(request: httpx2.Request) -> None:
    """Hook of a client: the SDK insists on a key, and words a header of what it was given in its place."""
    request.headers.pop("authorization", None)
