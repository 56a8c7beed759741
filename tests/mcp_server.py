"""An MCP server for tests, made with the SDK: `python -m tests.mcp_server stdio | http PORT | sse PORT`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import (
    CreateMessageResult,
    EmbeddedResource,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from pydantic import BaseModel

server = MCPServer("tests")
counted = 0
meeting: list[bool] = []


class Sum(BaseModel):
    total: int
    words: str


@server.tool(structured_output=False)
def echo(text: str):
    """Say it again."""
    return text


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int = 1) -> Sum:
    """Add two numbers."""
    return Sum(total=a + b, words=f"{a} and {b}")


@server.tool(structured_output=False)
def fail(words: str):
    """Report failure."""
    raise ToolError(words)


@server.tool(structured_output=False)
async def slow(seconds: float, mark: str = ""):
    """Take its time; where it is cancelled, leave a mark in a file."""
    if mark:
        open(f"{mark}.started", "w").close()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if mark:
            with open(mark, "a") as file:
                file.write("cancelled\n")
        raise
    return "done"


@server.tool(structured_output=False)
async def meet(count: int):
    """Wait until so many calls of this are under way."""
    meeting.append(True)
    async with asyncio.timeout(60):
        while len(meeting) < count:
            await asyncio.sleep(0.01)
    return f"all {count} are here"


@server.tool(structured_output=False)
async def steps(count: int, ctx: Context):
    """Tell of its progress."""
    for number in range(1, count + 1):
        await ctx.report_progress(number, count, f"step {number}")
    return f"{count} steps"


@server.tool(structured_output=False)
def picture():
    """A picture, and a text that is a resource."""
    inside = TextResourceContents(uri="memo://note", mime_type="text/plain", text="a note")
    return ["look", Image(data=b"\x89PNG\r\n\x1a\nnot really", format="png"), EmbeddedResource(resource=inside)]


@server.tool(structured_output=False)
def large(size: int):
    """Text of so many bytes."""
    return "x" * size


@server.tool(structured_output=False)
def die(status: int = 3):
    """End the server in the middle of the call."""
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(status)


@server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
def die_once(mark: str):
    """End the server, but not a second time."""
    if os.path.exists(mark):
        return "alive"
    open(mark, "w").close()
    os._exit(3)


@server.tool(structured_output=False)
def count():
    """How often this was called in this server's life."""
    global counted
    counted += 1
    return str(counted)


@server.tool()
def environment() -> dict[str, str]:
    """All that this server sees of its environment."""
    return dict(os.environ)


@server.tool(structured_output=False)
def headers(words: str, ctx: Context, fails: bool = False):
    """The headers that came with the call, and the words; or both as a failure."""
    said = f"{dict(ctx.request_context.request.headers)} {words}"
    if fails:
        raise ToolError(said)
    return said


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def pid() -> dict[str, int]:
    """The process of this server."""
    return {"pid": os.getpid()}


@server.tool(structured_output=False)
async def grow(name: str, ctx: Context):
    """Have one tool more, and say so."""
    server.add_tool(lambda: "new", name=name, description="A new one")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


def _question(question: str) -> Sample:
    said = SamplingMessage(role="user", content=TextContent(text=question))
    return Sample([said], max_tokens=50, system_prompt="Be brief.")


@server.tool(structured_output=False)
def ask(question: str, answer: Annotated[CreateMessageResult, Resolve(_question)]):
    """Ask the client's model."""
    return f"{answer.model}: {answer.content.text}"


class Name(BaseModel):
    name: str
    age: int = 18


def _who() -> Elicit[Name]:
    return Elicit("Who is it for?", Name)


@server.tool(structured_output=False)
def greet(greeting: str, who: Annotated[Name, Resolve(_who)]):
    """Greet whom a person names."""
    return f"{greeting} {who.name} ({who.age})"


if __name__ == "__main__":
    how, *port = sys.argv[1:]
    match how:
        case "stdio":
            server.run("stdio")
        case "http":
            server.run("streamable-http", host="127.0.0.1", port=int(port[0]), stateless_http="stateless" in port)
        case "sse":
            server.run("sse", host="127.0.0.1", port=int(port[0]))
