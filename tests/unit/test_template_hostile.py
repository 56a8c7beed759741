"""Templates that try to take too much, or to reach what is not theirs. None may hang, crash or succeed.

The budget is a count, so that these end the same way on every machine; time is only a generous bound on top.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateTooLarge
from orchestrator_client.contract.template import check, render
from orchestrator_client.contract.template.guards import OPERATIONS, Budget
from orchestrator_client.contract.template.patterns import TEXT_CHARACTERS, compiled

SCOPE: dict[str, Any] = {"n": 1, "tags": ["a", "b"], "record": {"k": "v"}, "long": "a" * 90_000}
DOUBLED = "{% set x = 'aaaaaaaaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 60

WRITTEN = "{% for a in range(9999) %}" + "x" * 9999 + "{% endfor %}"
CAUGHT = "{% set s %}" + WRITTEN + "{% endset %}"

TOO_LARGE = [
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ [0] * 10**9 }}",
    "{{ (0,) * 10**9 }}",
    "{{ 10**5000 }}",
    "{{ 10**(10**10) }}",
    "{{ (9**999) * (9**999) * (9**999) * (9**999) }}",
    "{{ 1" + "0" * 5000 + " }}",
    "{{ 1e999 }}",
    "{{ 1e308 * 10 }}",
    "{{ range(10**9) }}",
    "{{ 'a' | center(10**9) }}",
    "{{ 'a'.center(10**9) }}",
    "{{ 'a'.ljust(10**9) }}{{ 'a'.rjust(10**9) }}",
    "{{ 'a'.zfill(10**9) }}",
    "{{ '\t'.expandtabs(10**9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ '%(a)s' * 9000 % {'a': 'x' * 9000} }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w=10**9) }}",
    "{{ ('{0:9000}' * 9000).format(1) }}",
    "{{ 'a b' * 9000 | int }}{{ 'x' * 8000000 | length * 2 }}{{ 'y' * 9000000 }}",
    DOUBLED,
    DOUBLED.replace("~", "+"),
    "{% set x = [1] %}" + "{% set x = x + x %}" * 40,
    "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "{% set x = (1, 2) %}" + "{% set x = (x, x) %}" * 40 + "{{ x == 1 }}",
    "{% set x = {} %}" + "{% set x = {'a': x, 'b': x} %}" * 40 + "{{ x | tojson }}",
    "{% set x = {} %}" + "{% set x = dict(a=x, b=x) %}" * 40,
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
    WRITTEN,
    CAUGHT,
    "{% macro m() %}" + WRITTEN + "{% endmacro %}{{ m() }}",
    "{{ long | regex_replace('(?=(.*))', '\\\\1') }}",
    "{% filter center(10**9) %}x{% endfilter %}",
    "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}",
    "{{ 'a' | replace('', 'b' * 1000000) | replace('b', 'c' * 100) }}",
    "{{ ('a' * 1000000).replace('a', 'b' * 100) }}",
    "{{ (',' * 1000000).join('a' * 100) }}",
    "{{ ['a'] * 1000 | int | default(1) }}{{ range(9999) | join('x' * 9999) }}",
    "{{ ('a,' * 3000000).split(',') }}",
    "{{ ('a\n' * 3000000).splitlines() }}",
    "{{ ('a' * 3000000) | list }}",
    "{{ [1] | batch(10**9, 1) | list }}",
    "{{ [1] | slice(10**9) | list }}",
    "{{ ('a\n' * 10000) | indent(9999) }}",
    "{{ 'a' | indent(10**9, true) }}",
    "{{ ('a ' * 9999) | wordwrap(8, true, 'x' * 99999) }}",
    "{{ ('a' * 1000000) | wordwrap(8) }}",
    "{{ ('<a' * 1000000) | striptags }}",
    "{{ 1 | round(-10**9) }}",
    "{{ tags | tojson(indent=10**9) }}",
    "{{ range(9999) | map('string') | map('center', 9999) | list }}",
    "{{ [range(9999) | list] * 9999 }}",
    "{{ [[1] * 9999] * 30 | int }}{{ ([[1]] * 9999) | map('default', 1) | list * 9999 }}",
    "{{ ('[' * 90000) | from_json }}",
    "{{ ('a' * 200000) | regex_search('b') }}",
    "{{ long | regex_search('a*a*a*b') }}",
    "{{ long | regex_search('" + "a?" * 30 + "b') }}",
    "{{ long | regex_replace('(a)', '" + "\\\\1" * 999 + "') }}",
    "{{ long | regex_search('" + "a" * 501 + "') }}",
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{{ " + "[" * 50 + "]" * 50 + " }}",
    "{% if 1 %}" * 5_000 + "{% endif %}" * 5_000,
    "{% for a in tags %}" * 15 + "{% endfor %}" * 15,
    "{{ " + "+".join(["1"] * 100_000) + " }}",
    "{{ " + "+".join(["1"] * 5_000) + " }}",
    "{{ " + "not " * 5_000 + "1 }}",
    "{{ n" + " | trim" * 5_000 + " }}",
    "{{ n" + ".a" * 5_000 + " }}",
    "{{ " + "1 if n else " * 3_000 + "2 }}",
    "x" * (caps.TEMPLATE_BYTES + 1) + "{{ n }}",
]

FORBIDDEN = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ '' | attr('__cla' ~ 'ss__') }}",
    "{{ tags | map(attribute='__class__') | list }}",
    "{{ tags | map('attr', '__class__') | list }}",
    "{{ tags | sort(attribute='__class__') }}",
    "{{ record._private }}",
    "{{ tags.append(1) }}",
    "{{ tags.append }}",
    "{{ tags.clear() }}{{ tags.sort() }}",
    "{{ record.update(a=1) }}",
    "{{ record.pop('k') }}",
    "{{ record.fromkeys('ab') }}",
    "{{ 'a'.encode() }}",
    "{{ 'a'.translate({}) }}",
    "{{ n.to_bytes(10, 'big') }}",
    "{{ 1.5.hex() }}",
    "{{ '{0.__class__}'.format(n) }}",
    "{{ '{0[k]}'.format(record) }}",
    "{{ '{x.__class__}'.format_map({'x': n}) }}",
    "{{ '{!r}'.format(n) }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '%r' % n }}",
    "{{ tags() }}",
    "{{ (tags | first)() }}",
    "{{ range.__globals__ }}",
    "{{ dict.__base__ }}",
    "{{ self }}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "{% macro m() %}{{ caller.__code__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% for x in tags %}{{ loop._iterator }}{% endfor %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% set n.a = 1 %}",
    "{% for x in tags recursive %}{{ loop(tags) }}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{{ long | regex_search('(a+)+$') }}",
    "{{ long | regex_search('(a|a)*b') }}",
    "{{ long | regex_search('(a)\\\\1') }}",
    "{{ n | date('%999999999Y') }}",
]


def _name(template: str) -> str:
    return template[:60]


@pytest.mark.parametrize("template", TOO_LARGE, ids=_name)
def test_too_large(template: str) -> None:
    began = time.thread_time()
    with pytest.raises(TemplateTooLarge):
        render(template, SCOPE)
    assert time.thread_time() - began < 4 * caps.RENDER_SECONDS


def test_time_that_others_had_the_processor_is_not_a_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "RENDER_SECONDS", 0.05)
    budget = Budget({})
    time.sleep(0.1)
    budget.step()
    with pytest.raises(TemplateTooLarge, match=r"takes longer than 0\.05 s"):
        use_up(budget)


def use_up(budget: Budget) -> None:
    for _ in range(OPERATIONS):
        budget.step()


@pytest.mark.parametrize("template", FORBIDDEN, ids=_name)
def test_forbidden(template: str) -> None:
    with pytest.raises(TemplateForbidden):
        render(template, SCOPE)
    assert SCOPE["tags"] == ["a", "b"]
    assert SCOPE["record"] == {"k": "v"}


@pytest.mark.parametrize("template", TOO_LARGE + FORBIDDEN, ids=_name)
def test_check_is_bounded_and_raises_nothing(template: str) -> None:
    began = time.thread_time()
    assert all(isinstance(problem, TemplateError) for problem in check(template))
    assert time.thread_time() - began < caps.RENDER_SECONDS


@pytest.mark.parametrize("template", [DOUBLED, WRITTEN, CAUGHT, "{{ 'a' * 10**9 }}", "{{ [0] * 10**9 }}"], ids=_name)
def test_memory_stays_small(template: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TemplateTooLarge):
            render(template, SCOPE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50 * 1024 * 1024


def test_a_step_value_larger_than_a_template_may_build_is_handed_on_whole() -> None:
    rows = [["x" * 100] * 100] * 2_000
    assert render("{{ rows }}", {"rows": rows}) == rows


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9]+",
        r"[^a-zA-Z0-9]",
        r"Score:\s*(\d+)",
        r"(?i)yes|no",
        r"(\d{4})-(\d{2})-(\d{2})",
        r"\[([^\[\]]+)\]",
        r"```(?:json)?\s*",
        r"\s+(.*)",
    ],
)
def test_ordinary_patterns_may_search_a_long_text(pattern: str) -> None:
    text = "Score: 42 " * (TEXT_CHARACTERS // 10)
    assert compiled(pattern, text).pattern == pattern
