"""What maps run over, and what templates see of a loop that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.template import render, view_of
from orchestrator_client.contract.template.loops import LoopView, Passes
from orchestrator_worker.steps.loop import items_of


class TestItems:
    @pytest.mark.parametrize(
        ("given", "items"),
        [
            ([], []),
            (None, []),
            ("", []),
            ([1, None], [1, None]),
            ('["a, b"]', ["a, b"]),
            ("a, b,,", ["a", "b"]),
            ("a, b\nc\n", ["a, b", "c"]),
            ("7", [7]),
            ({}, []),
            ({"k": 1}, [{"key": "k", "value": 1}]),
            ('{"k": 1}', [{"key": "k", "value": 1}]),
            ({"results": [1], "n": 2}, [1]),
            ({"items": [2]}, [2]),
            ({"result": "no list"}, [{"key": "result", "value": "no list"}]),
        ],
    )
    def test_are_what_lists_something(self, given: Json, items: list[Json]) -> None:
        assert items_of(given, "m") == items

    @pytest.mark.parametrize("given", [7, 1.5, True])
    def test_of_anything_else_there_are_none(self, given: Json) -> None:
        with pytest.raises(ParametersInvalid, match=r"step 'm' runs over \w+; give it a list"):
            items_of(given, "m")

    def test_have_a_cap(self) -> None:
        assert len(items_of([0] * caps.ITEMS, "m")) == caps.ITEMS
        with pytest.raises(ParametersInvalid, match=r"100,001 items"):
            items_of([0] * (caps.ITEMS + 1), "m")

    def test_text_nested_without_end_is_text(self) -> None:
        assert items_of("[" * 100_000, "m") == ["[" * 100_000]


VALUES: Mapping[str, Json] = {
    "m[0].one": {"result": 1, "success": True},
    "m[0].two": {"result": "a", "success": True},
    "m[1].one": {"result": 2, "success": True},
    "m[1].two": {"status": "failed", "success": False, "error": "no"},
    "lp#0.two": {"result": "p", "success": True},
    "lp#1.two": {"result": "q", "success": True},
}


def fetch(instances: list[str]) -> Mapping[str, Json]:
    return {name: VALUES[name] for name in instances if name in VALUES}


def left(first: str, kind: str, count: int, inline: bool = False, success: bool = True) -> dict[str, Json]:
    """What a loop leaves in the store."""
    scopes = {"first": first, "kind": kind, "steps": ["one", "two"], "last": "two", "inline": inline}
    return {"success": success, "count": count, "completed": True, "scopes": scopes}


class TestView:
    @pytest.mark.parametrize(
        ("template", "seen"),
        [
            ("{{ m.results }}", ["a", None]),
            ("{{ m.outputs }}", ["a", None]),
            ("{{ m.count }}", 2),
            ("{{ m.total_items }}", 2),
            ("{{ m.completed }}", True),
            ("{{ m.success }}", False),
            ("{{ m.status }}", "failed"),
            ("{{ m.iterations[1].one.result }}", 2),
            ("{{ m.iterations[0].index }}", 0),
            ("{{ m.iterations | length }}", 2),
            ("{{ m.scopes | default('hidden') }}", "hidden"),
            ("{{ m }}", {"count": 2, "success": False, "results": ["a", None]}),
            ("{{ lp.iterations }}", 2),
            ("{{ lp.iterations > 1 and lp.iterations < 3 }}", True),
            ("{{ lp.iterations == 2 }}", True),
            ("{{ lp.iterations[-1].two.result }}", "q"),
            ("{% for one in lp.iterations %}{{ loop.index }}{{ one.two.result }}{% endfor %}", "1p2q"),
            ("{{ lp.iterations[1:] | length }}", 1),
            ("{{ lp.results | join('') }}", "pq"),
        ],
    )
    def test_shows_what_lies_where_it_ran(self, template: str, seen: Any) -> None:
        views = {
            "m": view_of(left("m[0]", "map", 2, success=False), fetch),
            "lp": view_of(left("lp#0", "while", 2), fetch),
        }
        assert render(template, views) == seen

    def test_of_an_inline_loop_has_the_status_beside_each_result(self) -> None:
        first, second = render("{{ m.results }}", {"m": view_of(left("m[0]", "map", 2, inline=True), fetch)})
        assert (first["result"], first["status"], first["success"]) == ("a", "completed", True)
        assert (second["result"], second["status"], second["success"]) == (None, "failed", False)

    def test_reads_nothing_before_it_is_asked(self) -> None:
        def refuse(instances: list[str]) -> Mapping[str, Json]:
            raise AssertionError(f"read {instances}")

        view = view_of(left("m[0]", "map", 2), refuse)
        assert isinstance(view, LoopView)
        assert render("{{ m.count }} {{ m.success }}", {"m": view}) == "2 True"

    def test_a_value_that_only_has_a_field_of_that_name_is_no_loop(self) -> None:
        assert not isinstance(view_of({"scopes": ["read", "write"]}, fetch), LoopView)


class TestPasses:
    def test_are_a_number_and_a_list(self) -> None:
        passes = Passes([{"t": 1}, {"t": 2}])
        assert (str(passes), passes.json, len(passes), list(passes)) == ("2", 2, 2, [{"t": 1}, {"t": 2}])
        assert passes == 2
        assert passes != 3
        assert passes > 1
        assert passes >= 2
        assert passes < 3
        assert passes <= 2

    def test_none_are_false(self) -> None:
        assert not Passes([])
