"""Which names the templates of a plan read, and where a variable stands."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.reading import EVERY, names_of_outputs, names_read_by
from orchestrator_client.uses import Uses
from orchestrator_client.variables import VariableScope, around, is_place, place_of_value, scope_of
from tests.unit.loading import plan_of

PLAN = plan_of("""
    inputs: {topic: {default: x}, n: {default: 2}, rows: {default: [1]}, base: {default: b}}
    config: {url: "{{ base }}/x"}
    steps:
      - {id: a, tool: terminal, condition: "n > 1", parameters: {command: ["{{ topic.x }}", "{{ k | default(n) }}"]}}
      - {id: b, tool: terminal, parameters: {command: "{{ config.url }} {{ a.stdout }}"}}
      - {id: c, tool: terminal, parameters: {command: "{{ inputs.topic }} {{ parameters['n'] }}"}}
      - {id: d, tool: terminal, parameters: {command: "{{ inputs | length }}"}}
      - id: e
        for_each: "{{ rows }}"
        max_parallel: "{{ n }}"
        steps:
          - {id: f, tool: terminal, parameters: {command: "{{ item }} {{ topic }} {{ b.stdout }}"}}
          - {id: g, tool: terminal, parameters: {command: "{{ f.stdout }}"}}
      - {id: h, until: "{{ topic in i.stdout }}", steps: [{id: i, tool: terminal, parameters: {command: date}}]}
    outputs: {last: "{{ e.results }} {{ k | default('') }}", again: "{{ outputs.last }}"}
""")


@pytest.mark.parametrize(
    ("step", "names"),
    [
        ("a", {"topic", "k", "n"}),
        ("b", {"config", "a", "base"}),
        ("c", {"topic", "n"}),
        ("d", {EVERY}),
        ("e", {"rows", "n"}),
        ("h", {"topic", "i"}),
    ],
)
def test_the_names_that_a_step_reads(step: str, names: set[str]) -> None:
    assert set(names_read_by(PLAN.step_by_id[step], PLAN)) == names


def test_what_cannot_be_rendered_reads_nothing() -> None:
    broken = PLAN.step_by_id["a"].model_copy(update={"parameters": {"x": "{{", "y": "{{ n }}"}, "condition": "(("})
    assert names_read_by(broken, PLAN) == ("n",)


def test_the_names_that_outputs_read() -> None:
    assert {"e", "k"} <= set(names_of_outputs(PLAN))


def test_who_reads_and_who_writes() -> None:
    uses = Uses(PLAN)
    assert uses.readers("topic") == ("a", "c", "e.f", "h", "d")
    assert uses.readers("b") == ("e", "e.f")  # a loop waits for what its body reads
    assert uses.readers("e.f") == ("e.g",)
    assert uses.readers("k") == ("a", "outputs.last", "d")
    assert (uses.writers("e.f"), uses.writers("topic")) == (("e.f",), ())
    assert Uses(Plan(id="p", steps=())).readers("x") == ()


def test_the_scopes_around_a_place() -> None:
    assert around("") == [""]
    assert around("a[0].b#1.c") == ["a[0].b#1.c", "a[0].b#1", "a[0]", ""]


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        *((place, True) for place in ("a", "e[2]", "e[2].f", "h#0", "h#0.i")),
        *((place, False) for place in ("e#2", "h[0]", "a[0]", "x", "e[2].x", "", "e[x]", "a.b")),
    ],
)
def test_the_places_that_a_plan_has(place: str, is_one: bool) -> None:
    assert is_place(place, PLAN) is is_one


@pytest.mark.parametrize(
    ("place", "scope"),
    [("", "run"), ("~", "temporary"), ("e[2]", "item"), ("h#1", "pass"), ("e[2].f", "step")],
)
def test_what_a_place_is(place: str, scope: str) -> None:
    assert scope_of(place) == VariableScope(scope)


@pytest.mark.parametrize(
    ("instance", "within", "name"),
    [("a", "", "a"), ("e[2].f", "e[2]", "f"), ("a#1.2", "a", "a#1.2"), ("e[2].f#0.1", "e[2].f", "e[2].f#0.1")],
)
def test_where_a_value_is_seen(instance: str, within: str, name: str) -> None:
    assert place_of_value(instance) == (within, name)
