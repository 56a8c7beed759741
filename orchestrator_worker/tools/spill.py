"""Results that are too large for the store become files in the run's folder.

What later steps then read is a reference, `{path, bytes, media_type, preview}`, whose path file tools take.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import ValueTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.tool import Artifact
from orchestrator_worker.tools.base import ToolContext, ToolResult

FOLDER = "artifacts"
"""Beneath the run's folder."""

PREVIEW_CHARACTERS = 1000

_PLAIN = re.compile(r"[^\w.-]+")


def spilled(result: ToolResult, context: ToolContext, text_bytes: int, value_bytes: int) -> ToolResult:
    """The result with each text above `text_bytes` in a file, and all of it where as JSON it passes `value_bytes`.

    Raises:
        ValueTooLarge: a file would be larger than any may be.
    """
    if not _may_be_large(result.output, text_bytes) and not _may_be_large(result.envelope, text_bytes):
        return result
    files = _Files(context)
    output, envelope = (_lightened(value, files, text_bytes) for value in (result.output, result.envelope))
    if _may_be_large(output, value_bytes) and len(written := json.dumps(output)) > value_bytes:
        output = files.keep(written, "application/json", "json")
    if not files.kept:
        return result
    return replace(result, output=output, envelope=envelope, artifacts=(*result.artifacts, *files.kept))


@dataclass(slots=True)
class _Files:
    """The files of one call."""

    context: ToolContext
    kept: list[Artifact] = field(default_factory=list)

    def keep(self, text: str, media_type: str, ending: str) -> dict[str, Json]:
        """Write a file whole or not at all, and return what stands for it."""
        data = text.encode(errors="surrogatepass")
        instance = self.context.instance
        if len(data) > caps.ARTIFACT_BYTES:
            raise ValueTooLarge(
                f"step '{instance}' left {len(data):,} bytes; a file has {caps.ARTIFACT_BYTES:,} at most"
            )
        number = len(self.kept) + 1
        name = f"{_PLAIN.sub('_', instance)}.{self.context.attempt}.{number}.{ending}"
        folder = self.context.folder / FOLDER
        folder.mkdir(exist_ok=True)
        half_written = folder / f".{name}.{os.getpid()}"
        half_written.write_bytes(data)
        half_written.replace(folder / name)
        self.kept.append(Artifact(name=name, path=f"{FOLDER}/{name}", bytes=len(data), media_type=media_type))
        reference: dict[str, Json] = self.kept[-1].model_dump(include={"path", "bytes", "media_type"})
        return {**reference, "preview": text[:PREVIEW_CHARACTERS]}


def _lightened(value: Json, files: _Files, most: int) -> Json:
    """The value with a reference in the place of each large text."""
    match value:
        case str() if len(value) > most or (4 * len(value) > most and len(value.encode(errors="replace")) > most):
            return files.keep(value, "text/plain", "txt")
        case dict():
            return {key: _lightened(item, files, most) for key, item in value.items()}
        case list() | tuple():
            return [_lightened(item, files, most) for item in value]
    return value


def _may_be_large(value: Json, most: int) -> bool:
    """Whether a value could take more than so many bytes: a quick look, which stops when it knows."""
    room = most
    for size in _sizes(value):
        room -= size
        if room < 0:
            return True
    return False


def _sizes(value: Json) -> Iterator[int]:
    """At least what each part takes as JSON."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield 4 * len(text)
            case dict() as mapping:
                yield 4 * len(mapping)
                waiting += [*mapping.keys(), *mapping.values()]
            case list() | tuple() as items:
                yield len(items)
                waiting += items
            case _:
                yield 8
