"""`${name}` is `{{ name }}` where the plan knows the name, and text everywhere else."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.plan import Json, Step
from orchestrator_client.contract.template import render
from orchestrator_client.loader import loads

HEAD = """\
id: p
inputs: {topic: {type: string, default: rivers}, n: {type: integer, default: 3}, rows: {type: array, default: [1]}}
variables: {region: "eu-${n}"}
steps:
  - {id: first, tool: terminal, parameters: {command: date}}
"""


def parameter_of(text: str, more: str = "") -> Json:
    return _step(text, more).parameters["command"]


def _step(text: str, more: str = "") -> Step:
    import json

    loaded = loads(f"{HEAD}  - {{id: s, tool: terminal, {more} parameters: {{command: {json.dumps(text)}}}}}\n")
    assert loaded.warnings == []
    return loaded.plan.step_by_id["s"]


SCOPE = {"topic": "rivers", "n": 3, "first": {"stdout": "now"}, "variables": {"region": "eu"}, "inputs": {"n": 3}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${n}", 3),
        ("${inputs.n}", 3),
        ("${first.stdout}!", "now!"),
        ("${variables.region}", "eu"),
        ("about ${topic} and {{ topic }}", "about rivers and rivers"),
        ('{"n": ${n}}', '{"n": 3}'),
        ("{${n}}", "{3}"),
        ("{{${n}", None),
        ("${n}}}", "3}}"),
        ("$${n} \\${n} $n", "$${n} \\${n} $n"),
        ("{{ '${n}' }} ${n}", "${n} 3"),
        ("""{{ '}} ${n}' ~ "\\"}} ${n}" }}""", """}} ${n}"}} ${n}"""),
        ("{% raw %}${n}{% endraw %}${n}", "${n}3"),
        ("{# ${n} don't #}${n}", 3),
        ("${#n} ${topic}", "${#n} rivers"),
        ("{% if n > 2 %}${n}{% endif %}", "3"),
    ],
)
def test_a_known_name_is_rendered(text: str, value: Json) -> None:
    if value is None:
        with pytest.raises(Exception, match="template"):
            parameter_of(text)
        return
    assert render(parameter_of(text), SCOPE) == value


@pytest.mark.parametrize(
    "text",
    [
        "echo ${HOME} $HOME $1 $$ $(date) `x`",
        "${n:-7} ${n%.*} ${!n} ${n/a/b} ${n[@]}",
        "costs $5 {or} less",
        "${unknown.thing}",
        "${ n }",
        "${n",
        "${inputs.nothing_like_it}",
        "${steps.nowhere.result}",
        "${execution.id} ${item}",
        "${тopic}",
    ],
)
def test_all_else_stays_as_it_is(text: str) -> None:
    assert parameter_of(text) == text


def test_a_step_waits_for_what_it_reads_so() -> None:
    assert _step("${first.stdout}").after == ("first",)


def test_what_loops_bind_is_known_within_them_and_only_there() -> None:
    plan = loads(
        HEAD
        + """\
  - id: each
    for_each: "${rows}"
    max_parallel: "${n}"
    steps:
      - {id: say, tool: terminal, condition: "${n} > 2", parameters: {command: "${item} ${first} ${index}"}}
  - {id: turns, until: "'${inner.stdout}' == 'x'", steps: [{id: inner, tool: terminal, parameters: {command: date}}]}
  - {id: itself, for_each: [1], tool: terminal, parameters: {command: "${item}"}}
outputs: {all: "${each.results}", also: "${outputs.all}", not: "${item}"}
"""
    ).plan
    each, turns, itself = (plan.step_by_id[name].loop for name in ("each", "turns", "itself"))
    assert (each.items, each.max_parallel) == ("{{ rows }}", "{{ n }}")
    assert each.steps[0].condition == "{{ n }} > 2"
    assert each.steps[0].parameters["command"] == "{{ item }} {{ first }} {{ index }}"
    assert turns.condition == "'{{ inner.stdout }}' == 'x'"
    assert itself.steps[0].parameters["command"] == "{{ item }}"
    assert plan.outputs == {"all": "{{ each.results }}", "also": "{{ outputs.all }}", "not": "${item}"}
    assert plan.metadata["namespaces"] == {"variables": {"region": "eu-{{ n }}"}}


def test_a_whole_value_has_its_type_where_a_number_is_wanted() -> None:
    step = loads(
        HEAD + "  - {id: s, tool: http, action: get, parameters: {url: 'http://x', timeout: '${n}'}}\n"
    ).plan.step_by_id["s"]
    assert render(step.parameters["timeout"], SCOPE) == 3


def test_a_name_that_is_nearly_known_is_warned_of() -> None:
    loaded = loads(HEAD + "  - {id: s, tool: terminal, parameters: {command: 'echo ${topics}'}}\n")
    [warning] = loaded.warnings
    assert "'${topics}' stays as it is; did you mean '${topic}'?" in warning.render("f")
    assert warning.line == 6


def test_a_value_is_never_looked_at() -> None:
    assert render(parameter_of("${topic}"), {"topic": "${n} {{ n }}"}) == "${n} {{ n }}"


def test_many_openings_take_no_time_to_speak_of() -> None:
    text = "{{ '" * 100_000 + "${n}"
    with pytest.raises(Exception, match="template"):
        parameter_of(text)
