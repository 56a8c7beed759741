"""The registry: every name of the catalogue can be called, and what is wrong with a call is said before it is made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_client.contract.catalog import TOOLS
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.tool import ToolSource
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke, resolve
from orchestrator_worker.tools.sources.native import function_of


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_every_tool_of_the_catalogue_resolves(name):
    entry = resolve(name)
    said = TOOLS[name]
    assert (entry.info.name, entry.info.source, entry.info.description) == (name, ToolSource.NATIVE, said.description)
    assert (entry.info.category, entry.info.level) == (said.category, said.level)
    assert (entry.info.read_only, entry.info.idempotent) == (said.read_only, said.idempotent)
    assert entry.info.parameters["type"] == "object"
    assert function_of(name).__module__.startswith("orchestrator_worker.tools.")


def test_an_unknown_tool_is_refused_with_a_suggestion(context):
    with pytest.raises(ParametersInvalid, match=r"no tool 'filesystem\.raed'.*did you mean 'filesystem\.read'\?"):
        invoke("filesystem.raed", {}, context)


def test_an_unlike_tool_lists_those_there_are():
    with pytest.raises(ParametersInvalid, match=r"there are: filesystem\.read"):
        resolve("zzz")


@pytest.mark.parametrize(
    ("uses", "parameters", "message"),
    [
        ("filesystem.read", {}, r"filesystem\.read: parameter 'path' is required.*it takes path"),
        ("filesystem.read", {"path": {"a": 1}}, r"parameter 'path' was a mapping of 1: .*valid string"),
        ("terminal.execute", {"command": "ls", "timeout": "soon"}, r"parameter 'timeout' was \"soon\": .*number"),
        ("terminal.execute", {"command": "ls", "timeout": -1}, r"'timeout' was -1: .*greater than 0"),
        ("terminal.execute", {"command": "ls", "timeout": float("inf")}, r"'timeout' was Infinity"),
        ("validation.validate", {"data": 1, "schema": {}, "mode": "loose"}, r"'mode' was \"loose\": .*'strict'"),
        ("validation.validate", {"data": 1}, r"parameter 'schema' is required"),
    ],
)
def test_refused_parameters_are_named_as_found_and_as_allowed(context, uses, parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        invoke(uses, parameters, context)


def test_a_refused_document_is_not_quoted_whole(context):
    with pytest.raises(ParametersInvalid) as refused:
        invoke("terminal.execute", {"command": "ls", "timeout": "x" * 10_000}, context)
    assert len(str(refused.value)) < 500


def test_a_number_stands_where_text_is_wanted(context):
    (context.folder / "2024").write_text("year")
    result = invoke("filesystem.read", {"path": 2024}, context)
    assert isinstance(result, ToolResult)
    assert result.output["content"] == "year"


def test_parameters_that_no_tool_knows_are_ignored(context):
    (context.folder / "a").write_text("x")
    result = invoke("filesystem.read", {"path": "a", "encoding": "utf-8"}, context)
    assert isinstance(result, ToolResult)
    assert result.success


def test_a_python_tool_is_called_with_the_parameters_as_keywords(context):
    result = invoke("python:textwrap:shorten", {"text": "one two three", "width": 8, "placeholder": "…"}, context)
    assert isinstance(result, ToolResult)
    assert result.value == {"result": "one two…", "success": True, "error": None}


def test_importing_the_registry_imports_no_tool():
    probe = "import json, sys, orchestrator_worker.tools.registry; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True).stdout)
    heavy = {"httpx2", "jsonschema", "asyncio", "orchestrator_worker.tools.filesystem"}
    assert heavy.isdisjoint(loaded)
