"""From what a server answered to what a step leaves: its result, its failure, and files in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.tool import Artifact
from orchestrator_worker.tools.artifacts import written
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.mcp.link import Block, Reply

UNTYPED = "application/octet-stream"


def result_of(reply: Reply, server: str, tool: str, context: ToolContext) -> ToolResult:
    """What a step leaves: structured content if there is some, else the text; bytes and resources as files.

    A reply that reports failure has failed, with its text for the error.
    """
    artifacts = tuple(_kept(reply.blocks, f"{server}-{tool}", context))
    if reply.failed:
        said = reply.text or "it reported failure and did not say why"
        return ToolResult(None, success=False, error=f"{server}/{tool}: {said}", artifacts=artifacts)
    links: list[Json] = [block.uri for block in reply.blocks if block.uri]
    output = reply.text if reply.structured is None else reply.structured
    return ToolResult(output, artifacts=artifacts, envelope={"links": links} if links else {})


def _kept(blocks: tuple[Block, ...], about: str, context: ToolContext) -> Iterator[Artifact]:
    """Write what is to be a file: bytes, and texts that are resources."""
    for number, block in enumerate(blocks, 1):
        if block.data is not None or (block.uri and block.text):
            content = block.text.encode() if block.data is None else block.data
            yield written(context, f"{about}-{number}", content, block.media_type.partition(";")[0].strip() or UNTYPED)
