"""Which variables templates and conditions read."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.template import Reference, references, references_of_condition


def _shown(found: list[Reference]) -> list[str]:
    return [f"{r.name}.{r.field or ''}:{r.line}{' guarded' if r.guarded else ''}" for r in found]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("plain", []),
        ("{{ a.result.x }}", ["a.result:1"]),
        ("{{ a['result'] }} {{ a[i] }}", ["a.result:1", "i.:1", "a.:1"]),
        ("{{ steps.x.y }}", ["steps.x:1", "x.y:1"]),
        ("{{ steps['x'].y.z }}", ["steps.x:1", "x.y:1"]),
        ("{{ $item.f }}", ["item.f:1"]),
        ("\n{{ a }}\n{{ b | default(c) }}", ["a.:2", "b.:3 guarded", "c.:3"]),
        ("{{ a | d(1) }}\n{{ a }}", ["a.:2"]),
        ("{{ a.x | trim | default(1) }}", ["a.x:1 guarded"]),
        ("{{ a is defined }}{{ b is undefined }}", ["a.:1 guarded", "b.:1 guarded"]),
        ("{% if a.x %}{{ b }}{% elif c %}{% endif %}", ["a.x:1 guarded", "b.:1", "c.:1 guarded"]),
        ("{{ a.x if a is defined else b }}", ["a.:1 guarded", "a.x:1 guarded", "b.:1"]),
        ("{% if steps.a.x %}{{ a.y }}{% endif %}", ["steps.a:1 guarded", "a.x:1 guarded", "a.y:1 guarded"]),
        ("{% for i in a.items %}{{ i.x }}{{ loop.index }}{% endfor %}{{ i }}", ["a.items:1", "i.:1"]),
        ("{{ loop.index }}", ["loop.index:1"]),
        ("{% set x = x.y %}{{ x.z }}", ["x.y:1"]),
        ("{% with x = a %}{{ x }}{{ b }}{% endwith %}{{ x }}", ["a.:1", "b.:1", "x.:1"]),
        ("{% macro m(p) %}{{ p }}{{ o }}{% endmacro %}{{ m(range(3)) }}", ["o.:1"]),
        ("{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ a }}{% endcall %}", ["a.:1"]),
        ("{{ [true, none, null, 'x', {'k': v}] }}", ["v.:1"]),
        ({"{{ k }}": ["{{ a }}", {"b": "{{ c }}"}], "n": 1}, ["k.:1", "a.:1", "c.:1"]),
    ],
)
def test_references(value: Any, found: list[str]) -> None:
    assert _shown(references(value)) == found


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("true", []),
        ("", []),
        ("'x' in {{ tags }}", ["tags.:1"]),
        ("iteration >= 3", ["iteration.:1"]),
        ("{{ a.status == 'x' and b }}", ["a.status:1", "b.:1"]),
        ("{% if a %}true{% endif %}", ["a.:1 guarded"]),
        ("{{ a | default(false) }}", ["a.:1 guarded"]),
    ],
)
def test_references_of_condition(condition: str, found: list[str]) -> None:
    assert _shown(references_of_condition(condition)) == found


@pytest.mark.parametrize("template", ["{{ a", "{{ a | nope }}", "{{ a.__class__ }}", "{{ " + "(" * 500])
def test_what_cannot_run_raises(template: str) -> None:
    with pytest.raises(TemplateError):
        references(template)
    with pytest.raises(TemplateError):
        references_of_condition(template)


def test_what_a_caller_does_to_its_list_no_other_one_sees() -> None:
    references("{{ a.result }}").clear()
    assert [reference.name for reference in references("{{ a.result }}")] == ["a"]
