"""What templates give: types, text, filters, and the messages of those that cannot be rendered."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateSyntax, Unresolved
from orchestrator_client.contract.template import check, is_template, render

SCOPE: dict[str, Any] = {
    "topic": "AI",
    "n": 3,
    "tags": ["a", "b"],
    "record": {"items": [1], "kind": "v"},
    "rows": [{"s": 1, "k": "x"}, {"s": 2, "k": "y"}],
    "execution": {"timestamp": "2026-11-22T07:54:14.575129+00:00"},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("a { b } c", "a { b } c"),
        ("{{ n }}", 3),
        (" {{ tags }}\n", ["a", "b"]),
        ("{{ n > 2 }}", True),
        ("{{ null }}", None),
        ("{{ 800 if n > 2 else 400 }}", 800),
        ("{{ 'x' if n > 5 }}", ""),
        ("n={{ n }}", "n=3"),
        ("tags: {{ tags }}", "tags: ['a', 'b']"),
        ("{{ tags | map('upper') }}", ["A", "B"]),
        ("{{ {'t': tags, 1: n} }}", {"t": ["a", "b"], "1": 3}),
        ("{{ $n + 1 }} {{ '$5' }}", "4 $5"),
        ("{{ '{{ 7*7 }}' }}", "{{ 7*7 }}"),
        ("{% for t in tags[:{{ n - 2 }}] %}{{ t }}{% endfor %}", "a"),
        ("{{ now() }}", "2026-11-22T07:54:14.575129+00:00"),
        ("{% set now = n %}{{ now }}", "3"),
        ("{% for t in tags %}{{ loop.index }}{{ t }}{{ ', ' if not loop.last }}{% endfor %}", "1a, 2b"),
        ("{% for r in rows if r.s > 1 %}{{ r.k }}{% endfor %}", "y"),
        ("  {% if n > 2 %}\nyes\n  {% endif %}\n", "yes\n"),
        ("{% set x = n * 2 %}{{ x }}", "6"),
        ("{% set x %}<{{ n }}>{% endset %}{{ x }}{{ x }}", "<3><3>"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m(n) }}", "<1><3>"),
        ("{% filter upper %}x{{ topic }}{% endfilter %}", "XAI"),
        ("{{ record.items }}", [1]),
        ("{{ record['items'] }}", [1]),
        ("{% for k, v in record.items() %}{{ k }};{% endfor %}", "items;kind;"),
        ("{{ topic.lower().center(6) }}|", "  ai  |"),
        ("{{ tags[0] ~ n ~ tags[1:] }}", "a3['b']"),
        ("{{ '%05.1f' % 3.14159 }} {{ '{:>3}'.format(n) }} {{ '%s-%s' | format(n, topic) }}", "003.1   3 3-AI"),
        ("{{ [n, [topic]] }}", [3, ["AI"]]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ dict(a=n) }}", {"a": 3}),
        ("{{ '<b>' }}", "<b>"),
        ('{"deep": {{ n > 2 }}, "none": {{ null }}, "n": {{ n }}}', '{"deep": true, "none": null, "n": 3}'),
        ('{"a": {{ tags }}, "b" :{{ record }}}', '{"a": ["a", "b"], "b" :{"items": [1], "kind": "v"}}'),
        ('{"a": "{{ tags }} \\": {{ tags }}"}', """{"a": "['a', 'b'] \\": ['a', 'b']"}"""),
        (' [{% for t in tags %}{{ loop.last }}, {% endfor %}"{{ topic }}"]\n', ' [false, true, "AI"]\n'),
        ("{% if n %}{ {{ n > 2 }} }{% endif %} [{{ n > 2 }}].", "{ True } [True]."),
    ],
)
def test_gives(template: str, value: Any) -> None:
    rendered = render(template, SCOPE)
    assert (rendered, type(rendered)) == (value, type(value))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("tags | join", "a, b"),
        ("tags | join('/')", "a/b"),
        ("rows | join('+', attribute='k')", "x+y"),
        ("execution.timestamp | slugify", "2026-11-22t0754145751290000"),
        ("'Some  Title -- here!' | slugify", "some-title-here"),
        ("'a b c d' | truncate_words(2)", "a b..."),
        ("'Score: 42' | regex_search('[0-9]+')", "42"),
        ("'none' | regex_search('[0-9]+') | default('25')", "25"),
        ("'a-b-c' | regex_replace('-', '+')", "a+b+c"),
        ("'2026-11' | regex_replace('(\\\\d+)-(\\\\d+)', '\\\\2/\\\\1')", "11/2026"),
        ("{'ü': '<'} | tojson", '{"ü": "<"}'),
        ("tags | to_json", '[\n  "a",\n  "b"\n]'),
        ("tags | json(indent=0)", '[\n"a",\n"b"\n]'),
        ("'```json\n{\"a\": 1}\n```' | from_json", {"a": 1}),
        ("tags | from_json", ["a", "b"]),
        ("execution.timestamp | date('%d.%m.%Y')", "22.11.2026"),
        ("'now' | date", "2026-11-22"),
        ("0 | date('%Y')", "1970"),
        ("'/a/b.txt' | basename", "b.txt"),
        ("'a,b' | split(',')", ["a", "b"]),
        ("tags | markdown_format", "- a\n- b"),
        ("{'k': n} | markdown_format", "- **k**: 3"),
        ("'x  \n\n\n\ny' | markdown_format", "x\n\ny"),
        ("3.14159 | round(2)", 3.14),
        ("'3.7' | round", 4.0),
        ("'7' | int + 1", 8),
        ("none | length", 0),
        ("12345 | length", 5),
        ("tags | last", "b"),
        ("[] | last | default('-')", "-"),
        ("none | default('d')", "d"),
        ("'' | default('d')", ""),
        ("'' | default('d', true)", "d"),
        ("rows | selectattr('s', 'equalto', 2) | map(attribute='k') | list", ["y"]),
        ("rows | sum(attribute='s')", 3),
        ("[[1], [2]] | sum(start=[])", [1, 2]),
        ("[3, 1] | sort", [1, 3]),
        ("rows | groupby('k') | map(attribute='grouper') | list", ["x", "y"]),
        ("'<b>' | e", "&lt;b&gt;"),
        ("'ab cd' | title", "Ab Cd"),
        ("'a\nb' | indent(2)", "a\n  b"),
        ("'one two three' | wordwrap(8)", "one two\nthree"),
        ("topic | attr('lower')()", "ai"),
        ("n is defined and x is undefined and tags is iterable", True),
    ],
)
def test_filter(expression: str, value: Any) -> None:
    assert render("{{ " + expression + " }}", SCOPE) == value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ typo | default('d') }}", "d"),
        ("{{ typo.a['b'].c | default('d') }}", "d"),
        ("{{ typo.a | from_json | default('d') }}", "d"),
        ("{{ record.typo | trim | default('d') }}", "d"),
        ("{{ (typo + 1) | default('d') }}", "d"),
        ("{{ typo is defined }}", False),
        ("{{ typo.a is undefined }}", True),
        ("{% if typo %}x{% else %}y{% endif %}", "y"),
        ("{% if typo.a > 3 or 'x' in typo.b or typo.c == 1 %}x{% else %}y{% endif %}", "y"),
        ("{% if typo.a() | length > 0 %}x{% elif not typo %}y{% endif %}", "y"),
        ("{{ 'x' if typo.a == 'b' else 'y' }}", "y"),
        ("{% for r in rows if r.typo %}x{% else %}y{% endfor %}", "y"),
    ],
)
def test_missing_is_allowed_in_tests_and_before_default(template: str, value: Any) -> None:
    assert render(template, SCOPE) == value


@pytest.mark.parametrize(
    ("template", "error", "message", "line"),
    [
        ("{{ topik }}", Unresolved, "'topik' is not known here; there is execution, n, record", 1),
        ("{{ topik }}", Unresolved, "did you mean 'topic'?", 1),
        ("a\n{{ record.knd }}", Unresolved, "no 'knd' among items, kind; did you mean 'kind'?", 2),
        ("{{ tags[7] }}", Unresolved, "no item 7 in a list of 2", 1),
        ("{{ n.real_part }}", Unresolved, "no 'real_part' in a value that is int", 1),
        ("{{ typo == 'x' }}", Unresolved, "'typo' is not known", 1),
        ("{{ typo and n }}", Unresolved, "'typo' is not known", 1),
        ("{{ typo | upper }}", Unresolved, "'typo' is not known", 1),
        ("{{ n | default(1) + typo }}", Unresolved, "'typo' is not known", 1),
        ("{% if n %}{{ typo.a }}{% endif %}", Unresolved, "'typo' is not known", 1),
        ("{% for x in typo %}{% endfor %}", Unresolved, "'typo' is not known", 1),
        ("{{ [typo] }}", Unresolved, "'typo' is not known", 1),
        ("{{ now(1) }}", Unresolved, "'now' is not known", 1),
        ("{{ {{ n }: 1} }}", TemplateSyntax, "does not parse", 1),
        ("{{ lipsum() }}", Unresolved, "'lipsum' is not known", 1),
        ("{{ n |\n uper }}", TemplateSyntax, "filter 'uper' is unknown; did you mean 'upper'?", 2),
        ("{{ n is odds }}", TemplateSyntax, "test 'odds' is unknown; did you mean 'odd'?", 1),
        ("{{ tags | random }}", TemplateSyntax, "filter 'random' is unknown; let a step", 1),
        ("{{ n | _paid }}", TemplateSyntax, "filter '_paid' is unknown", 1),
        ("\n{{ n", TemplateSyntax, "does not parse", 2),
        ("{% raw %}x", TemplateSyntax, "Missing end of raw directive", 1),
        ("{{ 1 + 'a' }}", TemplateError, "cannot be rendered: unsupported operand", 1),
        ("a\n\n{{ 1 / 0 }}", TemplateError, "division by zero", 3),
        ("{% for x in n %}{% endfor %}", TemplateError, "cannot loop over int", 1),
        ("{{ topic.lower }}", TemplateError, "call it", 1),
        ("x {{ topic.lower }}", TemplateError, "'lower' is a method: call it", 1),
        ("{{ 'x' | from_json }}", TemplateError, "the text is not JSON", 1),
        ("{{ n | date('%9Y') }}", TemplateForbidden, "not a form for a date", 1),
    ],
)
def test_cannot_be_rendered(template: str, error: type[TemplateError], message: str, line: int) -> None:
    with pytest.raises(TemplateError) as raised:
        render({"k": [template]}, SCOPE)
    assert type(raised.value) is error
    assert message in str(raised.value)
    assert raised.value.line == line
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again), again.line) == (error, str(raised.value), line)


def test_containers_are_copied_and_keys_rendered() -> None:
    plan = {"a": ["x", {"{{ topic }}": "{{ n }}", "b": None}], "c": 1.5}
    rendered = render(plan, SCOPE)
    assert rendered == {"a": ["x", {"AI": 3, "b": None}], "c": 1.5}
    assert rendered["a"] is not plan["a"]
    assert render("{{ tags }}", SCOPE) is not SCOPE["tags"]


def test_a_value_is_never_a_template() -> None:
    scope = {"evil": "{{ 7*7 }}", "nested": {"x": "{% for i in range(9) %}x{% endfor %}"}}
    assert render("{{ evil }}", scope) == "{{ 7*7 }}"
    assert render("- {{ evil }}", scope) == "- {{ 7*7 }}"
    assert render("{{ nested }}", scope) == scope["nested"]


@pytest.mark.parametrize("text", ["{{ a }}", "{% if a %}{% endif %}", "{# note #}", "{{"])
def test_is_template(text: str) -> None:
    assert is_template(text)
    assert not is_template(text.replace("{", "(").replace("}", ")"))


def test_check_names_every_problem_in_order() -> None:
    problems = check("{{ a | nope }}\n{{ b.__class__ }}\n{% include 'x' %}")
    assert [(type(problem), problem.line) for problem in problems] == [
        (TemplateSyntax, 1),
        (TemplateForbidden, 2),
        (TemplateForbidden, 3),
    ]


@pytest.mark.parametrize("text", ["plain", "{{ a.b | default(1) }}", "{% for x in y %}{{ loop.index }}{% endfor %}"])
def test_check_accepts(text: str) -> None:
    assert check(text) == []


@pytest.mark.parametrize("use", [render, lambda text, _: check(text)])
def test_a_large_template_that_is_mostly_text_is_accepted(use: Callable[[str, Any], Any]) -> None:
    assert use("x" * 900_000 + "{{ n }}", SCOPE) in ([], "x" * 900_000 + "3")
