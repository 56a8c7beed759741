"""One contract for tools of every source: what a plan's author sees is the same, wherever a tool comes from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, StepCancelled, StepTimeout
from orchestrator_worker.steps.base import Fail, Output
from orchestrator_worker.tools.registry import resolve
from tests.conformance.tools.adapter import ToolAdapter
from tests.conformance.tools.caller import ToolCaller
from tests.conftest import wait_until

MEGABYTE = 1024 * 1024
LARGE_MEGABYTES = 50
AT_ONCE = 16


def test_a_tool_says_what_it_is_and_takes(tools: ToolAdapter) -> None:
    info = resolve(tools.uses("echo")).info
    assert (info.name, info.source) == (tools.uses("echo"), tools.source)
    assert info.description
    types = {name: schema.get("type") for name, schema in info.parameters["properties"].items()}
    assert types == {"text": "string", "count": "integer", "flag": "boolean", "rows": "array", "options": "object"}
    assert info.parameters["required"] == ["text"]


def test_a_call_leaves_one_result(tools: ToolAdapter, caller: ToolCaller) -> None:
    result = caller.result(tools.uses("echo"), text="a", count=2)
    assert result.output == {"text": "a", "count": 2, "flag": False, "rows": [], "options": {}}
    assert (result.success, result.error, result.tool, result.source) == (True, None, tools.uses("echo"), tools.source)
    assert result.seconds > 0
    assert result.value == {"result": result.output, "success": True, "error": None}
    assert result.record.keys() == {
        *("success", "output", "error", "warnings", "seconds", "tool", "source", "artifacts")
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"count": "5"}, {"count": 5}),
        ({"count": 5.0}, {"count": 5}),
        ({"flag": "true"}, {"flag": True}),
        ({"text": 7}, {"text": "7"}),
        ({"text": "[1]"}, {"text": "[1]"}),
    ],
)
def test_what_templates_give_is_coerced(
    tools: ToolAdapter, caller: ToolCaller, given: dict[str, object], found: dict[str, object]
) -> None:
    output = caller.result(tools.uses("echo"), **{"text": "a", **given}).output
    assert output | found == output
    assert [type(output[name]) for name in found] == [type(value) for value in found.values()]


def test_json_text_becomes_lists_and_mappings(tools: ToolAdapter, caller: ToolCaller) -> None:
    output = caller.result(tools.uses("echo"), text="a", rows='[{"x": 1}]', options='{"a": [true]}').output
    assert (output["rows"], output["options"]) == ([{"x": 1}], {"a": [True]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"parameter 'text' is required, and was not given; it takes text"),
        ({"text": "a", "count": "many"}, r"parameter 'count' was \"many\": "),
        ({"text": "a", "rows": 5}, r"parameter 'rows' was 5: "),
        ({"text": {"a": 1}}, r"parameter 'text' was a mapping of 1: "),
    ],
)
def test_what_does_not_fit_is_named(
    tools: ToolAdapter, caller: ToolCaller, given: dict[str, object], said: str
) -> None:
    with pytest.raises(ParametersInvalid, match=said) as refused:
        caller.result(tools.uses("echo"), **given)
    assert str(refused.value).startswith(tools.uses("echo"))


def test_a_tool_that_reports_failure_has_failed(tools: ToolAdapter, caller: ToolCaller) -> None:
    want = caller.want(tools.uses("report"), reason="no stock")
    assert isinstance(want, Fail)
    assert "no stock" in str(want.error)
    assert want.value["success"] is False
    assert "no stock" in want.value["error"]


def test_a_tool_that_raises_has_failed(tools: ToolAdapter, caller: ToolCaller) -> None:
    want = caller.want(tools.uses("fail"), reason="no stock")
    assert isinstance(want, Fail)
    assert "no stock" in str(want.error)


def test_a_tool_that_takes_too_long_is_stopped(tools: ToolAdapter, caller: ToolCaller, tmp_path: Path) -> None:
    resolve(tools.uses("wait"))  # imports take their own time
    for seconds in (0.5, 5.0, 50.0):
        with pytest.raises(StepTimeout, match=rf"timeout of {seconds:g} s"):
            caller.result(tools.uses("wait"), timeout_seconds=seconds, folder=str(tmp_path))
        if (tmp_path / "started").exists():
            break  # on a busy machine the time may be up before
    wait_until((tmp_path / "stopped").exists, "the tool itself has stopped")


def test_a_cancelled_tool_is_stopped(tools: ToolAdapter, caller: ToolCaller, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(caller.result, tools.uses("wait"), "cancelled", folder=str(tmp_path))
        wait_until((tmp_path / "started").exists, "the tool has started")
        caller.cancel("cancelled")
        with pytest.raises(StepCancelled):
            call.result()
    wait_until((tmp_path / "stopped").exists, "the tool itself has stopped")


def test_progress_is_told(tools: ToolAdapter, caller: ToolCaller) -> None:
    assert caller.result(tools.uses("tell"), times=4).success
    assert caller.said == [(0.25, "step 1"), (0.5, "step 2"), (0.75, "step 3"), (1.0, "step 4")]


def test_an_artifact_is_a_file_of_the_run(tools: ToolAdapter, caller: ToolCaller) -> None:
    result = caller.result(tools.uses("leave"), size=1000)
    [artifact] = result.artifacts
    assert artifact.bytes == 1000
    assert (caller.folder / artifact.path).stat().st_size == 1000
    want = caller.want(tools.uses("leave"), size=1000)
    assert isinstance(want, Output)
    assert want.value["artifacts"] == [artifact.model_dump()]


def test_a_large_result_is_whole(tools: ToolAdapter, caller: ToolCaller) -> None:
    result = caller.result(tools.uses("large"), megabytes=LARGE_MEGABYTES)
    assert result.output["bytes"] == LARGE_MEGABYTES * MEGABYTE
    assert (caller.folder / result.output["path"]).stat().st_size == LARGE_MEGABYTES * MEGABYTE


@pytest.mark.parametrize(
    "text", ["äöü ß", "日本語", "👩‍👩‍👧", "\u202eright to left", "nul \x00 and \x1b[31m", "a\u0301"]
)
def test_text_of_every_kind_comes_back(tools: ToolAdapter, caller: ToolCaller, text: str) -> None:
    output = caller.result(tools.uses("echo"), text=text, rows=[text], options={text: text}).output
    assert (output["text"], output["rows"], output["options"]) == (text, [text], {text: text})


def test_many_calls_at_once_do_not_wait_for_each_other(tools: ToolAdapter, caller: ToolCaller, tmp_path: Path) -> None:
    place = tmp_path / "meeting"
    place.mkdir()
    names = [f"n{number}" for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [
            pool.submit(caller.result, tools.uses("meet"), name, 60.0, folder=str(place), name=name, of=AT_ONCE)
            for name in names
        ]
        assert [call.result().output for call in calls] == names
