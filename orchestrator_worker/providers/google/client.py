"""Google's models, by the Gemini API.

The one file that imports `google.genai`, and only when it is warmed up or first called. The SDK makes the request and
judges its status; what goes out and what comes back is worded and read next door, as the API's reference spells it.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.keys import KEY_VARIABLES
from orchestrator_client.contract.project import ProviderKind
from orchestrator_worker.providers.base import ModelRequest, OnText
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.google.failure import raise_told, refused
from orchestrator_worker.providers.google.reply import read
from orchestrator_worker.providers.google.request import worded
from orchestrator_worker.providers.google.stream import Gathering
from orchestrator_worker.providers.vendor import Answer, Vendor

if TYPE_CHECKING:
    import httpx2
    from google import genai
    from google.genai.models import AsyncModels

URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL"
"""Environment variable with the address of a gateway or test server; without the version, which the SDK adds.

The version is the section's, else what GOOGLE_GENAI_API_VERSION says, which the SDK reads, else `v1`.
"""


@dataclass(frozen=True, slots=True)
class Connection:
    """The SDK's client and the pool below it, which the SDK leaves open because it is ours."""

    client: genai.Client
    pool: httpx2.AsyncClient

    async def close(self) -> None:
        """Close both; the SDK's client has a pool for synchronous calls, which is empty."""
        self.client.close()
        await self.pool.aclose()


def _arguments(request: ModelRequest, body: dict[str, Any]) -> dict[str, Any]:
    """What the SDK is called with.

    The whole body goes as an extra one: the SDK's own types refuse parts of a conversation that they do not know, and
    respell those they know, although thoughts are to come back as they were signed.
    """
    return {
        "model": request.model,
        "contents": "-",
        "config": {
            # The SDK's own timeout is infinite, and in milliseconds; that it makes one request is to be asked for.
            "http_options": {
                "timeout": math.ceil(request.timeout_seconds * 1000),
                "extra_body": body,
            },
            "automatic_function_calling": {"disable": True},
            "automatic_continuation": False,
        },
    }


async def _whole(models: AsyncModels, arguments: dict[str, Any]) -> Answer:
    """Make a call whose answer comes in one piece; it is given as it came, not as the SDK reads it."""
    # Of an answer to this the SDK reads nothing, and so loses nothing.
    response = await models.generate_content(
        **{**arguments, "config": {**arguments["config"], "should_return_http_response": 1}}
    )
    answer = response.sdk_http_response
    return Answer((answer.body or "").encode(), answer.headers or {}) if answer else Answer(b"")


async def _streamed(models: AsyncModels, arguments: dict[str, Any], failures: Failures, on_text: OnText) -> Answer:
    """Make a call whose answer comes in chunks.

    Raises:
        ModelFailed: the stream told of an error, or ended without the reason that ends an answer.
    """
    from orchestrator_worker.providers.google import events

    gathering = Gathering()
    async with events.holding() as held:
        async for _ in await models.generate_content_stream(**arguments):
            pass  # the SDK has sent the request and judged the answer's status, and has nothing to read
        async with contextlib.aclosing(held.chunks(failures)) as chunks:
            async for chunk in chunks:
                raise_told(chunk, held.headers, failures)
                if text := gathering.add(chunk):
                    on_text(text)
        if held.is_event_stream and not gathering.ended:
            raise failures.truncated(gathering.text())
        return Answer(gathering.body(), held.headers)


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt that had so many seconds."""
    try:
        from google.genai import errors
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[google] on the workers")
    from orchestrator_worker.providers import http

    match error:
        case errors.APIError():
            response: Any = error.response
            return refused(error.details, error.code, str(response.text), response.headers, failures)
        # The SDK reads the body of a refusal before it makes an error of it.
        case UnicodeDecodeError() | RecursionError():
            return failures.bad_response("an error that cannot be read", str(error))
    return http.failure(error, failures, seconds)


class Google(Vendor[Connection]):
    """Calls Google, or a server that speaks its Gemini API at its section's `base_url` or GOOGLE_GEMINI_BASE_URL."""

    vendor = "google"
    key_variables = KEY_VARIABLES[ProviderKind.GOOGLE]
    failure = staticmethod(_failure)
    reply = staticmethod(read)

    @staticmethod
    def _import_sdk() -> None:
        """Import the SDK; its client loads the parts for calls in a loop when they are first asked for."""
        import google.auth.aio.credentials
        import google.genai.live  # noqa: F401

        from orchestrator_worker.providers import http
        from orchestrator_worker.providers.google import events  # noqa: F401

        http.warm()

    async def _exchange(self, request: ModelRequest, failures: Failures, on_text: OnText | None) -> Answer:
        """Send the request and read the whole body of a successful answer; with `on_text`, as a stream.

        Raises:
            ModelFailed: a message holds what Google does not take, or a stream did not come to its end.
        """
        call = worded(request, failures)
        arguments = _arguments(request, call.body)
        models = self._clients.here(failures.key).client.aio.models
        answer = await (_streamed(models, arguments, failures, on_text) if on_text else _whole(models, arguments))
        return replace(answer, warnings=call.left_out)

    def _connect(self, key: str) -> Connection:
        """A client that tries once, over a pool with the hook that keeps streams from the SDK."""
        from google import genai
        from google.genai import types

        from orchestrator_worker.providers import http
        from orchestrator_worker.providers.google import events

        # Ours, because the SDK's own has neither the caps nor the hook. The hook comes last: what it keeps is capped.
        pool = http.pooled_client()
        pool.event_hooks = {**pool.event_hooks, "response": [*pool.event_hooks["response"], events.hold]}
        base_url = self._section.base_url or os.environ.get(URL_VARIABLE, "").strip()
        options = types.HttpOptions(
            base_url=base_url or "https://generativelanguage.googleapis.com",
            api_version=self._section.api_version or None,
            headers=dict(self._section.headers),
            httpx_async_client=pool,
        )
        # Said outright, because a variable of Google's own would turn the SDK to another API, with other credentials.
        return Connection(genai.Client(vertexai=False, api_key=key, http_options=options), pool)
