"""The MCP SDK, behind the words of `link`: the only file that imports it, when the first session is opened."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import McpSection
from orchestrator_worker.tools.base import Declined
from orchestrator_worker.tools.mcp.asking import Asking
from orchestrator_worker.tools.mcp.child import LINE_BYTES, Child, LineTooLong
from orchestrator_worker.tools.mcp.link import Block, Link, Listed, Lost, OnProgress, Reply, Unsent
from orchestrator_worker.tools.mcp.watch import Reading, Watch, Writing

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 30.0
SILENT_SECONDS = 24 * 3600.0
"""How long a stream of events may say nothing. Calls have deadlines of their own."""

LIST_PAGES = 100
TOOLS = 2_000
"""Most pages and tools of a server's list."""

FROM_TRANSPORT = frozenset({"Connection closed", "Server returned an error response", "Session terminated"})
"""What the SDK's transports say, under codes that servers use too, when a session has ended."""

UNKNOWN_SESSION = frozenset({400, 404})
"""What an HTTP server answers to a session that it does not know: it has restarted, and has done nothing."""

Transport = AbstractAsyncContextManager[tuple[Any, Any]]

# Whatever the SDK logs of a failure comes back as the error of a call, without what a message or header held.
for _name in ("mcp", "client", "httpx2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@asynccontextmanager
async def stdio(child: Child, watch: Watch) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that is a child."""

    async def receive() -> SessionMessage:
        try:
            while line := await child.line():
                try:
                    return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValidationError:
                    if line.strip() and not watch.refuse(line):
                        break
        except LineTooLong:
            watch.fault = f"it sent a message of more than {LINE_BYTES} bytes, and was ended"
        watch.fault = watch.fault or await child.verdict()
        raise anyio.EndOfStream

    async def write(message: SessionMessage) -> None:
        await child.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async with child:
        yield Reading(receive, watch), Writing(write)


@asynccontextmanager
async def http(url: str, headers: Mapping[str, str], watch: Watch) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that speaks streamable HTTP."""

    async with (
        _http_client(watch, lambda request: "mcp-session-id" in request.headers, headers) as over,
        streamable_http_client(url, http_client=over, max_sse_event_size=LINE_BYTES) as (reading, writing),
    ):
        yield Reading(reading.receive, watch), writing


@asynccontextmanager
async def sse(url: str, headers: Mapping[str, str], watch: Watch) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that speaks HTTP with server-sent events."""

    def made(*_settings: object, **_more: object) -> httpx2.AsyncClient:
        return _http_client(watch, lambda _request: True, headers)

    async with sse_client(url, httpx_client_factory=made) as (reading, writing):
        yield Reading(reading.receive, watch), writing


def _http_client(
    watch: Watch, of_session: Callable[[httpx2.Request], bool], headers: Mapping[str, str]
) -> httpx2.AsyncClient:
    """A client of HTTP that notes when the server does not know a session any more; `of_session` says which requests
    name theirs."""

    async def look(response: httpx2.Response) -> None:
        request = response.request
        if response.status_code in UNKNOWN_SESSION and request.method == "POST" and of_session(request):
            watch.unsent = True
            watch.fault = "it does not know the session any more"

    timeout = httpx2.Timeout(WRITE_SECONDS, connect=CONNECT_SECONDS, read=SILENT_SECONDS)
    return httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks={"response": [look]})


@asynccontextmanager
async def connect(
    transport: Transport,
    watch: Watch,
    on_change: Callable[[], None],
    asking: Callable[[], Asking | None],
    section: McpSection,
) -> AsyncIterator[Link]:
    """Open a session. `on_change` hears that the server's tools are others now; `asking` gives
    what answers the server's own questions at the moment, where the section allows that it asks.

    Raises:
        ToolFailed: the server refuses.
        Exception: it is not there, or does not speak the protocol; see `why`.
    """

    async def heard(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            on_change()

    client = Client(
        transport,
        message_handler=heard,
        sampling_callback=_sampling(asking) if section.sampling else None,
        elicitation_callback=_elicitation(asking) if section.elicitation else None,
        client_info=types.Implementation(name="orchestrator", version="1"),
        cache=None,
    )
    async with client:
        listening = asyncio.create_task(_listen(client))
        try:
            yield _SdkLink(client, watch)
        finally:
            listening.cancel()
            await asyncio.wait({listening})


def why(error: BaseException, watch: Watch) -> str:
    """Why a session ended or could not be opened, in one line; notes where the server was not there at all."""
    causes = list(_leaves(error))
    if causes and all(isinstance(cause, httpx2.ConnectError) for cause in causes):
        watch.unsent = True
        return "nobody answers at its URL"
    for cause in causes:
        if isinstance(cause, httpx2.HTTPStatusError):
            return f"its URL answers with HTTP status {cause.response.status_code}"
    if watch.fault or watch.rubbish:
        return watch.words
    if not causes:
        return "the connection closed"
    return f"{type(causes[0]).__name__}: {str(causes[0]).splitlines()[0] if str(causes[0]) else 'no message'}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


async def _listen(client: Client) -> None:
    """Ask a server of 2026 or later to tell of changes, as earlier ones do unasked: to the message handler."""
    tools = client.server_capabilities.tools
    if tools is None or not tools.list_changed:
        return
    with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
        async with client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                pass


class _SdkLink:
    """A `Link` over the SDK's client."""

    def __init__(self, client: Client, watch: Watch) -> None:
        self._client, self._watch = client, watch
        self.asks_again = client.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def tools(self) -> list[Listed]:
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(LIST_PAGES):
            page = await self._answered(self._client.list_tools(cursor=cursor))
            release = self._client.server_info.version if self._client.server_info else ""
            found += (replace(_listed(tool), version=release) for tool in page.tools)
            cursor = page.next_cursor
            if cursor is None or len(found) > TOOLS:
                break
        if cursor is not None or len(found) > TOOLS:
            raise ToolFailed(f"it lists more than {TOOLS} tools, or more than {LIST_PAGES} pages", retryable=False)
        return found

    async def call(self, tool: str, arguments: Mapping[str, Json], on_progress: OnProgress) -> Reply:
        called = self._client.call_tool(tool, dict(arguments), progress_callback=on_progress)
        result = await self._answered(called)
        blocks = tuple(map(_block, result.content))
        return Reply(blocks, result.structured_content, result.is_error)

    async def _answered(self, asked: Awaitable[Any]) -> Any:
        """An answer, or what its absence means."""
        try:
            return await asked
        except MCPError as error:
            if self._watch.unsent or error.code == types.CONNECTION_CLOSED or error.message in FROM_TRANSPORT:
                self._watch.over.set()
                raise (Unsent if self._watch.unsent else Lost)(error.message) from None
            raise ToolFailed(f"{error.message} (code {error.code})") from None
        except ValidationError as error:
            raise ToolFailed(f"its answer is not the protocol's: {error.errors()[0]['msg']}", retryable=False) from None
        except RuntimeError as error:
            # What the SDK finds wrong with an answer: another shape than the tool's schema promises, endless rounds.
            raise ToolFailed(str(error).splitlines()[0], retryable=False) from None


def _listed(tool: types.Tool) -> Listed:
    says = tool.annotations
    return Listed(
        tool.name,
        tool.description or tool.title or "",
        tool.input_schema,
        tool.output_schema,
        read_only=bool(says and says.read_only_hint),
        idempotent=bool(says and says.idempotent_hint),
    )


def _block(content: types.ContentBlock) -> Block:
    match content:
        case types.TextContent():
            return Block(content.text)
        case types.ImageContent() | types.AudioContent():
            return Block(data=_bytes(content.data), media_type=content.mime_type)
        case types.ResourceLink():
            return Block(uri=content.uri, media_type=content.mime_type or "")
        case types.EmbeddedResource(resource=types.TextResourceContents() as inside):
            return Block(inside.text, media_type=inside.mime_type or "text/plain", uri=inside.uri)
        case types.EmbeddedResource(resource=types.BlobResourceContents() as inside):
            return Block(data=_bytes(inside.blob), media_type=inside.mime_type or "", uri=inside.uri)
        case _:
            raise ToolFailed(f"it answered with content of an unknown type: {type(content).__name__}", retryable=False)


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ToolFailed("it answered with binary content that is not base64", retryable=False) from None


def _elicitation(asking: Callable[[], Asking | None]) -> Any:
    """The SDK's callback for what a server asks of a person."""

    async def answer(_context: object, asked: types.ElicitRequestParams) -> types.ElicitResult | types.ErrorData:
        if (call := asking()) is None:
            return types.ErrorData(code=types.INVALID_REQUEST, message="no call is under way that could wait")
        if isinstance(asked, types.ElicitRequestURLParams):
            done = await call.answer(asked.message, None, asked.url)
            return types.ElicitResult(action="accept" if done else "decline")
        content: Any = await call.answer(asked.message, dict(asked.requested_schema))
        return types.ElicitResult(action="accept", content=content)

    return answer


def _sampling(asking: Callable[[], Asking | None]) -> Any:
    """The SDK's callback for what a server asks of a model."""

    async def answer(
        _context: object, asked: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        try:
            if (call := asking()) is None or call.complete is None:
                raise Declined("no call is under way for which a model could be asked")
            said = await call.complete(_request(asked))
        except Declined as refusal:
            return types.ErrorData(code=types.INVALID_REQUEST, message=str(refusal))
        stop = "maxTokens" if said.cut else "endTurn"
        content = types.TextContent(text=said.text)
        return types.CreateMessageResult(role="assistant", content=content, model=said.model, stop_reason=stop)

    return answer


def _request(asked: types.CreateMessageRequestParams) -> dict[str, Json]:
    """What a server asks of a model, as the parameters of a model step."""
    if asked.tools:
        raise Declined("tools are not offered to a model for a server")
    known = {
        "messages": [{"role": message.role, "content": _parts(message.content)} for message in asked.messages],
        "system": asked.system_prompt,
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "stop": asked.stop_sequences,
    }
    return {name: value for name, value in known.items() if value is not None}


def _parts(content: Any) -> list[Json]:
    """Content of a message in the form that OpenAI's chat takes."""
    parts: list[Json] = []
    for part in content if isinstance(content, list) else [content]:
        match part:
            case types.TextContent():
                parts.append({"type": "text", "text": part.text})
            case types.ImageContent():
                parts.append({"type": "image_url", "image_url": {"url": f"data:{part.mime_type};base64,{part.data}"}})
            case _:
                raise Declined(f"content of type {part.type} is not passed on to a model")
    return parts
