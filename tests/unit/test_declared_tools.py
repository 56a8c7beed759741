"""Functions as tools: what their signatures say, what `@tool` adds, and packages that bring them."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.tool import Category
from orchestrator_worker.tools import ToolContext, ToolResult, tool
from orchestrator_worker.tools.declaration import Declaration
from orchestrator_worker.tools.registry import invoke, listed, resolve
from orchestrator_worker.tools.signature import signature_of
from tests.conformance.tools.adapters import install_package
from tests.conformance.tools.conftest import forget

HERE = f"python:{__name__}"


class Row(BaseModel):
    name: str
    price: float


class Opaque:
    """A type that has no JSON form."""


def order(rows: list[Row], schema: str = "plain", _hidden: int = 1, *, limit: int | None = None) -> list[str]:
    """Names of the rows, as objects of their class."""
    return [f"{row.name}:{row.price + _hidden}:{schema}:{limit}" for row in rows]


def anything(**given: Any) -> dict[str, Any]:
    return given


def opaque(thing: Opaque, count: int = 1) -> int:
    return count


def unresolvable(count: NoSuchType, other: int = 1) -> str:  # type: ignore[name-defined]  # noqa: F821
    return f"{count!r} {other!r}"


def by_position(a: int, /) -> int:
    return a


@tool(name="priced", description="Add tax", category="data", tags=["money"], idempotent=True, level="standard")
def with_tax(price: float) -> float:
    return price * 1.2


@tool
def where(context: ToolContext, name: str) -> str:
    return f"{context.folder.name}/{name}"


@tool
def failing() -> ToolResult:
    return ToolResult({"tried": 3}, success=False, error="no stock", warnings=("late",))


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


def call(context: ToolContext, name: str, /, **given: Any) -> Any:
    result = invoke(f"{HERE}:{name}", given, context)
    assert isinstance(result, ToolResult)
    return result.output


class TestSignatures:
    def test_annotations_make_objects_and_names_may_be_any(self, context: ToolContext) -> None:
        rows = '[{"name": "tea", "price": "2"}]'
        assert call(context, "order", rows=rows, schema="x", _hidden=2, limit="3") == ["tea:4.0:x:3"]
        assert call(context, "order", rows=[]) == []

    def test_the_schema_says_what_the_signature_says(self) -> None:
        info = resolve(f"{HERE}:order").info
        assert list(info.parameters["properties"]) == ["rows", "schema", "_hidden", "limit"]
        assert info.parameters["required"] == ["rows"]
        assert info.parameters["properties"]["schema"]["default"] == "plain"
        assert info.result == {"items": {"type": "string"}, "type": "array"}
        assert (info.level, info.idempotent, info.description) == (
            Level.TRUSTED,
            False,
            "Names of the rows, as objects of their class.",
        )

    def test_what_the_author_declares(self) -> None:
        info = resolve(f"{HERE}:with_tax").info
        assert (info.description, info.category, info.tags) == ("Add tax", Category.DATA, ("money",))
        assert (info.idempotent, info.read_only, info.level) == (True, False, Level.STANDARD)

    def test_reading_only_may_be_done_twice(self) -> None:
        @tool(read_only=True)
        def read() -> None: ...

        from orchestrator_worker.tools.declaration import declaration_of

        declared = declaration_of(read)
        assert declared is not None
        assert declared.idempotent
        with pytest.raises(ValueError, match="nonsense"):
            tool(category="nonsense")

    def test_the_context_is_the_workers_to_give(self, context: ToolContext) -> None:
        assert list(resolve(f"{HERE}:where").info.parameters["properties"]) == ["name"]
        assert call(context, "where", name="a") == f"{context.folder.name}/a"
        with pytest.raises(ParametersInvalid, match="there is no parameter 'context'"):
            call(context, "where", name="a", context={})

    def test_whatever_is_given_is_passed_on_where_the_function_says_so(self, context: ToolContext) -> None:
        assert call(context, "anything", a="1", b=[2]) == {"a": "1", "b": [2]}

    def test_a_type_without_json_form_takes_anything_from_a_plan(self, context: ToolContext) -> None:
        assert resolve(f"{HERE}:opaque").info.parameters["properties"]["thing"] == {"not": {}}
        assert call(context, "opaque", thing={"a": 1}, count="4") == 4

    def test_annotations_that_cannot_be_read_say_nothing(self, context: ToolContext) -> None:
        assert call(context, "unresolvable", count="5", other="6") == "'5' 6"

    def test_arguments_without_names_are_refused(self) -> None:
        with pytest.raises(ParametersInvalid, match="by_position has arguments without names"):
            resolve(f"{HERE}:by_position")

    def test_a_result_may_be_returned_whole(self, context: ToolContext) -> None:
        result = invoke(f"{HERE}:failing", {}, context)
        assert isinstance(result, ToolResult)
        assert (result.success, result.error, result.warnings, result.output) == (
            False,
            "no stock",
            ("late",),
            {"tried": 3},
        )

    @pytest.mark.parametrize(
        ("given", "success"),
        [
            ({"success": False}, False),
            ({"success": False, "error": None}, False),
            ({"success": False, "error": "why"}, False),
            ({"success": True, "error": "why"}, True),
            ({"success": 0, "error": "why"}, True),
            ({"error": "why"}, True),
        ],
    )
    def test_a_mapping_reports_failure_by_its_success(
        self, context: ToolContext, given: dict[str, Any], success: bool
    ) -> None:
        result = invoke(f"{HERE}:anything", given, context)
        assert isinstance(result, ToolResult)
        assert (result.success, result.output) == (success, given)

    def test_a_node_of_a_graph_may_write_a_channel_of_that_name(self, context: ToolContext) -> None:
        for given, success in (({"success": False}, True), ({"success": False, "error": "x"}, False)):
            called = invoke("python.call", {"function": f"{__name__}:anything", "kwargs": given}, context)
            assert isinstance(called, ToolResult)
            assert called.success is success

    def test_a_decorator_around_it_hides_nothing(self) -> None:
        @functools.wraps(order)
        def around(*args: Any, **kwargs: Any) -> Any:
            return order(*args, **kwargs)

        assert signature_of(around, "t").schema == signature_of(order, "t").schema

    def test_the_page_names_all_that_can_be_declared(self) -> None:
        page = Path(__file__).parents[2].joinpath("docs", "tools.md").read_text(encoding="utf-8")
        table = page.partition("| argument | says |")[2].partition("\n\n")[0]
        named = {
            name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.partition("|")[2].split("|")[0])
        }
        assert named == {field.name for field in fields(Declaration)}


class TestPackages:
    @pytest.fixture(autouse=True)
    def _package(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        points = [
            f"shop = {__name__}",
            f"shop.single = {__name__}:anything",
            "broken = no.such.package:f",
            "number = sys:maxsize",
            f"filesystem.read = {__name__}:anything",
        ]
        install_package(monkeypatch, tmp_path, *points)
        yield
        monkeypatch.undo()
        forget()

    def test_a_modules_declared_functions_are_its_tools(self, context: ToolContext) -> None:
        info = resolve("shop.priced").info
        assert (info.name, info.source.value, info.description) == ("shop.priced", "plugin", "Add tax")
        result = invoke("shop.where", {"name": "a"}, context)
        assert isinstance(result, ToolResult)
        assert (result.output, result.tool) == (f"{context.folder.name}/a", "shop.where")

    def test_an_entry_point_may_name_one_function(self, context: ToolContext) -> None:
        result = invoke("shop.single", {"a": 1}, context)
        assert isinstance(result, ToolResult)
        assert result.output == {"a": 1}

    @pytest.mark.parametrize(
        ("name", "kind", "said"),
        [
            ("shop.prised", ParametersInvalid, "plugin 'shop' has no tool 'shop.prised'; did you mean 'shop.priced'?"),
            ("shop.order", ParametersInvalid, "has no tool 'shop.order'"),
            ("broken", ToolFailed, r"plugin 'broken' \(no\.such\.package:f\) cannot be loaded: ModuleNotFoundError"),
            ("number", ToolFailed, r"plugin 'number' \(sys:maxsize\) is a int; name a function"),
        ],
    )
    def test_what_is_not_there_is_said(self, name: str, kind: type[StepError], said: str) -> None:
        with pytest.raises(kind, match=said):
            resolve(name)

    def test_a_broken_package_hides_no_other_and_none_takes_a_native_name(self) -> None:
        found = list(listed())
        names = {entry.info.name for entry in found if not isinstance(entry, StepError)}
        problems = "\n".join(str(error) for error in found if isinstance(error, StepError))
        assert {"shop.priced", "shop.where", "shop.single", "terminal.execute"} <= names
        assert "'broken'" in problems
        assert "the catalogue has a tool 'filesystem.read' already" in problems
        assert resolve("filesystem.read").info.source.value == "native"

    def test_nothing_of_a_package_is_imported_to_know_its_names(self) -> None:
        from orchestrator_client.contract.plugins import plugin_of

        assert plugin_of("broken") is not None
        assert "no.such.package" not in sys.modules
