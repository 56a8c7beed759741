"""Tools from outside the catalogue in a pipeline: what may be named, and what is known of it without a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.loader import Loaded, loads
from orchestrator_client.loader.schema import schema
from tests.conformance.tools.adapters import install_package
from tests.conformance.tools.conftest import forget


def loaded(keys: str) -> Loaded:
    return loads(f"steps: [{{id: x, {keys}}}]")


def uses(keys: str) -> str:
    step = loaded(keys).plan.step_by_id["x"]
    assert step.kind is StepKind.TOOL
    return step.uses


def refusal(keys: str) -> str:
    with pytest.raises(PlanInvalid) as refused:
        loaded(keys)
    return str(refused.value)


@pytest.fixture
def _packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    install_package(monkeypatch, tmp_path, "shop = shop.tools", "tax = shop.tax:add")
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    "name",
    [
        "python:package.module:function",
        "python:package.module:Class.method",
        "langchain:package.module:Class",
        "langchain:package.module:Toolkit/read_file",
        "mcp:time/get_current_time",
        "mcp:my-server/tools/with-slash",
    ],
)
def test_a_name_with_a_prefix_is_used_as_it_stands(name: str) -> None:
    assert uses(f'tool: "{name}"') == name
    assert not loaded(f'tool: "{name}", action: execute, parameters: {{whatever: 1}}').warnings
    step = loaded(f'action: generate, parameters: {{prompt: p, tools: ["{name}"]}}').plan.step_by_id["x"]
    assert step.parameters["tools"] == [name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:module", "names no function; write python:package.module:function"),
        ("langchain:Class", "names no tool of LangChain; write langchain:package.module:Class"),
        ("langchain:package.module:Class/", "names no tool of LangChain"),
        ("mcp:server", "names no tool of an MCP server; write mcp:server/tool"),
        ("mcp:/tool", "names no tool of an MCP server"),
    ],
)
def test_a_name_of_another_form_is_refused_at_its_place(name: str, said: str) -> None:
    assert said in refusal(f'tool: "{name}"')
    assert ":1:" in refusal(f'tool: "{name}"')
    assert said in refusal(f'action: generate, parameters: {{prompt: p, tools: ["{name}"]}}')


@pytest.mark.usefixtures("_packages")
@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("tool: shop.price", "shop.price"),
        ("tool: shop, action: price", "shop.price"),
        ("tool: tax", "tax"),
        ("tool: tax, action: execute", "tax"),
    ],
)
def test_tools_of_an_installed_package_are_known(keys: str, name: str) -> None:
    assert uses(keys) == name
    assert not loaded(keys).warnings


def test_a_plugin_that_is_not_here_may_be_on_a_worker() -> None:
    for keys in ("tool: my-plugin.action", "action: generate, parameters: {prompt: p, tools: [my-plugin.action]}"):
        [warning] = loaded(keys).warnings
        assert warning.code == "unchecked-tool"
        assert "no tool 'my-plugin.action' is installed here; a worker needs a plugin that has it" in warning.message
    assert uses("tool: my-plugin.action") == "my-plugin.action"


@pytest.mark.parametrize("name", ["filesystem.raed", "filesytem.read", "htpp.get", "my-plugin", "file.raed"])
def test_a_slip_of_the_pen_is_none(name: str) -> None:
    assert "no tool" in refusal(f"tool: {name}") or "no action" in refusal(f"tool: {name}")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("config: [1]", "'config' must be a mapping, found a list"),
        ("config: {a: 1}, error_pattern: '('", "'error_pattern' is no regular expression"),
        ("error_pattern: 5", "'error_pattern' is no regular expression"),
    ],
)
def test_what_configures_a_langchain_tool_is_checked(parameters: str, said: str) -> None:
    assert said in refusal(f'tool: "langchain:a.b:C", parameters: {{{parameters}}}')


def test_what_is_a_template_is_known_later() -> None:
    assert uses("tool: 'langchain:a.b:C', parameters: {config: '{{ c }}', error_pattern: '{{ p }}'}")


@pytest.mark.usefixtures("_packages")
@pytest.mark.parametrize(
    ("name", "fits"),
    [("mcp:time/now", True), ("langchain:a.b:C", True), ("tax", True), ("shop.price", True), ("shopping.price", False)],
)
def test_editors_know_them_too(name: str, fits: bool) -> None:
    pipeline = {"steps": [{"id": "x", "tool": name}]}
    assert Draft202012Validator(schema()).is_valid(pipeline) is fits
