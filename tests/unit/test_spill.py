"""Results that are too large for the store: files in the run's folder, and references to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import ValueTooLarge
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.spill import PREVIEW_CHARACTERS, spilled


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="loop[2].fetch", attempt=3, folder=tmp_path)


def test_a_large_text_becomes_a_file(context: ToolContext) -> None:
    text = "grüße " * 1000
    result = spilled(ToolResult({"text": text, "n": 1}, envelope={"also": text}), context, 1000, 10**6)
    path = "artifacts/loop_2_.fetch.3.1.txt"
    reference = {"path": path, "bytes": 8000, "media_type": "text/plain", "preview": text[:PREVIEW_CHARACTERS]}
    assert result.output == {"text": reference, "n": 1}
    assert (context.folder / path).read_text() == text
    assert [artifact.path for artifact in result.artifacts] == [path, path.replace(".1.txt", ".2.txt")]
    assert result.value["artifacts"][0]["bytes"] == 8000


def test_a_large_collection_becomes_a_file_of_json(context: ToolContext) -> None:
    numbers = list(range(10_000))
    result = spilled(ToolResult(numbers), context, 1000, 20_000)
    assert json.loads((context.folder / result.output["path"]).read_text()) == numbers
    assert result.output["media_type"] == "application/json"


@pytest.mark.parametrize("output", ["x" * 1000, ["x" * 1000] * 5, {"a": None}, 3, None])
def test_what_is_small_stays(context: ToolContext, output: object) -> None:
    result = ToolResult(output)
    assert spilled(result, context, 1000, 10**6) is result
    assert not list(context.folder.iterdir())


def test_a_file_has_a_size_too(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "ARTIFACT_BYTES", 1500)
    with pytest.raises(ValueTooLarge, match="left 2,000 bytes; a file has 1,500 at most"):
        spilled(ToolResult("x" * 2000), context, 1000, 10**6)
