"""B50 to B65: templates and expressions."""

from __future__ import annotations

from tests.corpus.row import AT_COMMAND, TERMINAL, Case, Row, command, step

HOSTILE = "unit/test_template_hostile.py::"
RENDER = "unit/test_template_render.py::"
FORBIDDEN = "not allowed in templates: attribute"


def refused(template: str, words: str) -> Case:
    return Case(command(template), "template", AT_COMMAND, words)


def condition(text: str, words: str) -> Case:
    return Case(step(f'{TERMINAL}, condition: "{text}"'), "template", (3, 67), words)


ROWS = (
    Row(
        "B50",
        "reaching into Python",
        (
            refused('{{ "".__class__.__mro__ }}', f"{FORBIDDEN} '__mro__'"),
            refused('{{ x | attr("__class__") }}', f"{FORBIDDEN} '__class__'"),
            refused("{{ cycler.__init__ }}", f"{FORBIDDEN} '__init__'"),
            refused('{{ "{0.__class__}".format(1) }}', "not allowed in templates"),
        ),
        (f"{HOSTILE}test_forbidden",),
    ),
    Row(
        "B51",
        "a filter that calls what it is given",
        (refused('{{ x | apply("format") }}', "filter 'apply' is unknown"),),
        (f"{HOSTILE}test_forbidden",),
    ),
    Row("B52", "a text times a thousand million", (refused('{{ "a" * 10**9 }}', "builds more than 8,388,608 bytes"),)),
    Row(
        "B53",
        "other ways to a large value",
        (
            refused('{{ "a".center(10**9) }}', "is more than 10,000"),
            refused('{{ "%1000000000d" % 1 }}', "a width of 10 digits is more than 10,000"),
        ),
        (f"{HOSTILE}test_too_large", f"{HOSTILE}test_memory_stays_small"),
    ),
    Row(
        "B54",
        "loops in loops",
        (
            refused("{% for i in range(99999) %}{% endfor %}", "range(99999) has more than 10,000 items"),
            refused(
                "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
                "more than 500,000 operations",
            ),
        ),
    ),
    Row(
        "B55",
        "functions of Jinja that nobody needs",
        (
            refused("{{ lipsum(n=20000) }}", "function 'lipsum' is unknown"),
            refused("{{ joiner() }}", "function 'joiner' is unknown"),
        ),
    ),
    Row("B56", "a number of thousands of digits", (refused("{{ 10**5000 }}", "too large; 10,000 are allowed"),)),
    Row(
        "B57",
        "templates that nest without end",
        (
            refused("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "too large or nests too deep"),
            refused("{% if 1 %}" * 5_000 + "{% endif %}" * 5_000, "nests too deep"),
            refused("{{ " + "+".join(["1"] * 100_000) + " }}", "too large or nests too deep"),
            refused("{% macro f(k) %}{{ f(k + 1) }}{% endmacro %}{{ f(0) }}", "macro 'f' leads back to itself"),
        ),
    ),
    Row(
        "B58",
        "changing what others read",
        (
            refused("{{ inputs.clear() }}", "method 'clear' is unknown"),
            refused("{{ [].append(1) }}", "method 'append' is unknown"),
        ),
        (f"{HOSTILE}test_forbidden",),
    ),
    Row(
        "B59",
        "methods of a value",
        (refused("{{ fetch.secret() }}", "method 'secret' is unknown"),),
        ("unit/test_tools_python.py::test_values_become_json",),
        because="a value is JSON before a template sees it",
    ),
    Row(
        "B60",
        "a value that is itself a template",
        shown_by=(
            f"{RENDER}test_a_value_is_never_a_template",
            "integration/test_canvas.py::test_inputs_arrive_as_they_were_sent",
        ),
    ),
    Row(
        "B61",
        "names that are not there",
        (
            Case(command("{{ fetcch.stdout }}"), "unknown-step", AT_COMMAND, "did you mean 'fetch'?"),
            Case(command("{{ steps.clean.stdout }}"), "unknown-step", AT_COMMAND, "no step 'clean'"),
            Case(command("{{ nothing }}"), "unresolved-name", AT_COMMAND, "give it with -i nothing=…", warning=True),
        ),
        (
            "unit/test_template_steps.py::test_unresolved_field_says_what_there_is",
            "integration/test_bad_input.py::test_a_name_that_is_not_there_fails_before_the_side_effect",
        ),
        because="existing files take inputs that they do not declare, so that a bare unknown name is a warning",
    ),
    Row(
        "B62",
        "unknown filters, and statements that reach other files",
        (
            refused("{{ x | nofilter }}", "filter 'nofilter' is unknown"),
            refused('{% include "x" %}', "{% include %} is not available"),
            refused('{% import "x" as y %}', "{% import %} is not available"),
            refused('{% extends "x" %}', "{% extends %} is not available"),
            refused("{% raw %}x", "Missing end of raw directive"),
        ),
    ),
    Row(
        "B63",
        "text where a number belongs",
        (
            Case(
                step("tool: terminal, parameters: {command: date, timeout: twelve}"),
                "parameter-type",
                (3, 55),
                "found the text 'twelve'",
            ),
        ),
        ("unit/test_coercion.py::test_each_that_does_not_fit_is_named_with_what_was_found", f"{RENDER}test_gives"),
    ),
    Row(
        "B64",
        "a value in a line for the shell",
        (Case(step("tool: terminal, parameters: {command: [echo, '{{ fetch.stdout }}']}")),),
        (
            "unit/test_tools_terminal.py::test_a_list_is_executed_as_it_stands",
            "unit/test_cage.py::test_there_is_no_network_but_its_own",
        ),
        because="existing files have templates in lines for the shell, so that they stay allowed; such a command runs"
        " confined, and one that is a list has no shell",
    ),
    Row(
        "B65",
        "conditions that are programs",
        (
            condition("__import__('os')", "function '__import__' is unknown"),
            condition("lambda: 1", "does not parse"),
            condition("[x for x in y]", "does not parse"),
            condition("'aaa' | regex_search('(a+)+$')", "would never end"),
        ),
        (f"{HOSTILE}test_forbidden",),
    ),
)
