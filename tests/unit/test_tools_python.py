"""The python tool, on a real package in a folder of its own, and what its results become as JSON."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.jsonable import DEPTH, to_json_value
from orchestrator_worker.tools.registry import invoke

MODULE = """
import asyncio
from orchestrator_client.contract.errors import ParametersInvalid

LIMIT = 3

class Shop:
    @staticmethod
    def price(of):
        return {"of": of}

def add(a, b=1):
    return a + b

async def slowly(a):
    await asyncio.sleep(0)
    return (a,)

async def slowly_fail():
    raise KeyError("gone")

def fail():
    raise ValueError("no stock")

def leave():
    raise SystemExit(3)

def refuse():
    raise ParametersInvalid("not these")

def rows():
    return {"rows": [{"price": 1}, {"price": float("nan")}]}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a package that the worker can import; its own, so that tests do not meet in `sys.modules`."""
    name = f"shop_{abs(hash(str(tmp_path)))}"
    folder = tmp_path / "site" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "tools.py").write_text(MODULE)
    (folder / "needy.py").write_text("import no_such_module_at_all")
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return name


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


def call(context: ToolContext, function: str, **parameters: object) -> Any:
    result = invoke("python.call", {"function": function, **parameters}, context)
    assert isinstance(result, ToolResult)
    return result.output


def test_a_function_is_called_with_args_and_kwargs(context, package):
    assert call(context, f"{package}.tools:add", args=[2]) == 3
    assert call(context, f"{package}.tools:add", kwargs={"a": "x", "b": "y"}) == "xy"
    assert call(context, f"{package}.tools:Shop.price", args=[1]) == {"of": 1}


def test_a_coroutine_function_is_to_be_awaited(context, package):
    async def scenario(uses: str, parameters: dict[str, Any]) -> ToolResult:
        called = invoke(uses, parameters, context)
        assert not isinstance(called, ToolResult)
        return await called

    assert asyncio.run(scenario("python.call", {"function": f"{package}.tools:slowly", "args": [1]})).output == [1]
    assert asyncio.run(scenario(f"python:{package}.tools:slowly", {"a": 2})).output == [2]
    with pytest.raises(ToolFailed, match="slowly_fail raised KeyError: 'gone'"):
        asyncio.run(scenario(f"python:{package}.tools:slowly_fail", {}))


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("{}.tools", ParametersInvalid, "write it as package.module:function"),
        ("{}/tools:add", ParametersInvalid, "write it as package.module:function"),
        ("no_such_package.x:add", ParametersInvalid, "the worker has no module 'no_such_package'"),
        ("{}.none:add", ParametersInvalid, r"the worker has no module '.*\.none'"),
        ("{}.tools:ad", ParametersInvalid, "has no 'ad'"),
        ("{}.tools:LIMIT", ParametersInvalid, "is a int, which cannot be called"),
        ("{}.tools:add", ParametersInvalid, r"add\(a, b=1\) does not take these arguments: missing .*'a'"),
        ("{}.tools:refuse", ParametersInvalid, "not these"),
        ("{}.needy:f", ToolFailed, "importing .* failed: No module named 'no_such_module_at_all'"),
        ("{}.broken:f", ToolFailed, "importing .* raised ZeroDivisionError"),
        ("{}.tools:fail", ToolFailed, r"function .*\.tools:fail raised ValueError: no stock"),
        ("{}.tools:leave", ToolFailed, "raised SystemExit: 3"),
        ("{}.tools:rows", ToolFailed, r"result\.rows\[1\]\.price is nan \(float\)"),
    ],
)
def test_what_goes_wrong_is_said(context, package, function, kind, message):
    with pytest.raises(kind, match=message) as raised:
        call(context, function.format(package))
    assert type(raised.value) is kind


def test_what_the_function_raised_is_the_cause(context, package):
    with pytest.raises(ToolFailed) as raised:
        call(context, f"{package}.tools:fail")
    assert isinstance(raised.value.__cause__, ValueError)


def test_the_run_folder_is_not_searched(context):
    (context.folder / "planted_module.py").write_text("def f(): return 1")
    with pytest.raises(ParametersInvalid, match="no module 'planted_module'"):
        call(context, "planted_module:f")
    assert str(context.folder) not in sys.path


@dataclass
class Point:
    x: int
    tags: set[str]


class Order(BaseModel):
    price: Decimal
    at: datetime


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a", None, True, 2.5), [1, "a", None, True, 2.5]),
        ({3, 1, 20}, [1, 3, 20]),
        ({"b", 1, "a"}, [1, "a", "b"]),
        (Point(1, {"b", "a"}), {"x": 1, "tags": ["a", "b"]}),
        (
            Order(price=Decimal("9.99"), at=datetime(2024, 1, 2, tzinfo=UTC)),
            {"price": 9.99, "at": "2024-01-02T00:00:00+00:00"},
        ),
        (Decimal("0.1000000000000000000001"), "0.1000000000000000000001"),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
        (timedelta(minutes=1), 60.0),
        (Path("a/b"), "a/b"),
    ],
)
def test_values_become_json(value, expected):
    converted = to_json_value(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0, {"b c": float("inf")}]}, r"result\.a\[1\]\['b c'\] is inf \(float\), which JSON cannot say"),
        (b"x", "result is a builtins.bytes, which has no JSON form"),
        ([object()], r"result\[0\] is a builtins\.object"),
        ({(1, 2): 1}, "key of type tuple"),
        ({1: "a", "1": "b"}, "two keys that are both '1'"),
        (Decimal("NaN"), r"NaN \(Decimal\)"),
        ("\ud800", "surrogate"),
        (1 << 5000, "more than 4096 bits"),
        (Point, "has no JSON form"),
    ],
)
def test_what_json_cannot_say_is_named_by_place_and_type(value, message):
    with pytest.raises(ToolFailed, match=message):
        to_json_value(value)


def test_a_value_that_contains_itself_or_nests_too_deep_is_refused():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ToolFailed, match=f"nested more than {DEPTH} levels"):
        to_json_value(value)


def test_the_place_starts_with_the_name_that_is_given():
    with pytest.raises(StepError, match=r"^outputs\.x is"):
        to_json_value({"x": b""}, "outputs")
