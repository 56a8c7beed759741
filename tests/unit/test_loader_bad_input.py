"""Files that cannot run: each is refused before anything runs, with a place, a reason and a remedy."""

from __future__ import annotations

import textwrap

import pytest

from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.loader import loads


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(PlanInvalid) as caught:
        loads(text)
    return caught.value.problems


def step(keys: str) -> str:
    """A file whose second line is a step with these keys."""
    return f"steps:\n- {{id: a, {keys}}}\n- {{id: fetch, tool: terminal, parameters: {{command: date}}}}\n"


GOOD = "steps:\n- {id: a, tool: terminal, parameters: {command: date}}\n"
TERMINAL = "tool: terminal, parameters: {command: date}"

TEXT = [
    ("nothing", "", "empty", 0, "the smallest valid one"),
    ("only comments", "# a\n\n# b\n", "empty", 0, "the plan is empty"),
    ("a scalar at the top", "hello", "wrong-type", 1, "found the text 'hello'"),
    ("a list at the top", "- a\n- b\n", "wrong-type", 1, "expected a mapping at the top, found a list"),
    ("two documents", f"---\n{GOOD}---\n{GOOD}", "documents", 4, "put each plan in its own file"),
    ("a tab", "steps:\n\t- id: a\n", "yaml", 2, "tab used for indentation"),
    ("a NUL", "steps: \0", "control-character", 1, "U+0000"),
    ("an escape character", GOOD + "name: \x1b[31m", "control-character", 3, "U+001B"),
    ("a lone carriage return", "name: a\rb: 1", "control-character", 1, "lone carriage return"),
    ("Latin-1", "name: caf\xe9\n".encode("latin-1"), "encoding", 1, "Latin-1 or Windows-1252"),
    ("UTF-16", GOOD.encode("utf-16"), "encoding", 1, "UTF-16"),
    ("UTF-16 without a mark", GOOD.encode("utf-16-be"), "control-character", 1, "U+0000"),
    ("half a character", 'name: "\\ud800"\n' + GOOD, "surrogate", 1, "half a character"),
    ("half a character in the text", "name: \ud800\n" + GOOD, "control-character", 1, "U+D800"),
    ("an open quote", GOOD + "name: 'abc\n", "yaml", 3, "this quote is never closed"),
    ("an open bracket", "steps: [1, 2\nname: x\n", "yaml", 1, "this [ or { is never closed"),
    ("a colon in a text", GOOD + "name: a: b\n", "yaml", 3, "quote the text"),
    ("a backtick", GOOD + "name: `x`\n", "yaml", 3, "a value cannot start with `"),
    ("a wrong escape", GOOD + 'name: "\\q"\n', "yaml", 3, "unknown escape"),
    ("an odd indentation", "steps:\n  - id: a\n name: x\n", "yaml", 3, "indentation does not match"),
    ("a statement that writes YAML", "steps:\n{% for x in y %}\n", "yaml", 2, "a template cannot write YAML"),
    ("a template without quotes", GOOD + "name: {{ x }}\n", "template-unquoted", 3, "put quotes around it"),
    ("a template without quotes, and more", GOOD + "name: {{ x }}/y\n", "template-unquoted", 3, "put quotes"),
    (
        "a template without quotes, inline",
        step("tool: terminal, parameters: {command: {{ x }}}"),
        "template-unquoted",
        2,
        "",
    ),
]

VALUES = [
    ("a duplicate key", GOOD + "name: a\nname: b\n", "duplicate-key", 4, "stands here and on line 3"),
    ("a duplicate key in a step", "steps:\n- {id: a, id: b}\n", "duplicate-key", 2, "'id'"),
    (
        "a Python tag",
        "name: !!python/object/apply:os.system [date]\n" + GOOD,
        "tag",
        1,
        "python/object/apply:os.system",
    ),
    ("another tag", "name: !!binary aGk=\n" + GOOD, "tag", 1, "what JSON can say"),
    ("a tag that does not fit", "name: !!int abc\n" + GOOD, "tag", 1, "does not fit its tag"),
    ("an anchor", "name: &a b\n" + GOOD, "anchor", 1, "anchor 'a'"),
    ("an alias of itself", "name: &a [*a]\n" + GOOD, "alias", 1, "alias 'a'"),
    ("a merge key", "steps:\n- <<: {command: rm}\n  id: a\n", "merge-key", 2, "write the merged keys out"),
    ("not a number", GOOD + "metadata: {x: .nan}", "number", 3, "not a finite number"),
    ("infinite", GOOD + "metadata: {x: -.inf}", "number", 3, "not a finite number"),
    ("too large a float", GOOD + "metadata: {x: 1e400}", "number", 3, "not a finite number"),
    ("too large an integer", GOOD + "metadata: {x: 9007199254740993}", "number", 3, "out of range ±2^53"),
    ("an endless integer", GOOD + f"metadata: {{x: {'9' * 5000}}}", "number", 3, "out of range ±2^53"),
    ("a number as key", GOOD + "metadata: {1: x}", "key-not-text", 3, 'quote it: "1"'),
    ("a boolean as key", GOOD + "metadata: {true: x}", "key-not-text", 3, 'quote it: "true"'),
    ("a list as key", GOOD + "metadata: {[1, 2]: x}", "key-not-text", 3, "found a list"),
    ("a secret", GOOD + "metadata: {k: sk-proj-abcdefghij0123456789}", "secret", 3, "environment"),
    ("an AWS key", GOOD + "name: AKIAIOSFODNN7EXAMPLE", "secret", 3, "AKIA…"),
    ("a private key", GOOD + "name: |\n  -----BEGIN RSA PRIVATE KEY-----\n  abc", "secret", 4, "PRIVATE KEY"),
]

TOP = [
    ("an unknown key", GOOD + "setps: []\n", "unknown-key", 3, "did you mean 'steps'?"),
    ("no steps", "name: x\n", "no-steps", 1, "the smallest has"),
    ("empty steps", "steps: []\n", "no-steps", 1, "no steps"),
    ("a mapping of steps", "steps: {a: {tool: terminal}}\n", "wrong-type", 1, "start each with '- id:'"),
    ("a step that is a text", "steps:\n- hello\n", "wrong-type", 2, "a step must be a mapping"),
    ("parameters as a list", GOOD + "parameters: [a]\n", "wrong-type", 3, "must be {name: …, default: …}"),
    ("a list of an input without a name", GOOD + "inputs: [{default: 1}]\n", "wrong-type", 3, "must be {name: …,"),
    ("an input twice", GOOD + "inputs: [{name: n}, {n: 1}]\n", "duplicate-key", 3, "'n' stands in the list twice"),
    ("parameters as a text", GOOD + "parameters: a\n", "wrong-type", 3, "must be a mapping of names"),
    ("metadata as a text", GOOD + "metadata: x\n", "wrong-type", 3, "metadata must be a mapping"),
    ("an unknown input type", GOOD + "inputs: {n: {type: intger}}\n", "wrong-value", 3, "did you mean 'integer'?"),
    (
        "a default of another type",
        GOOD + "inputs: {n: {type: integer, default: 2.5}}\n",
        "wrong-type",
        3,
        "'2.5'"[1:-1],
    ),
    ("a default that is no choice", GOOD + "inputs: {n: {choices: [a], default: b}}\n", "wrong-value", 3, "choices"),
    ("choices that are no list", GOOD + "inputs: {n: {choices: a}}\n", "wrong-type", 3, "must be a list"),
    ("a misspelt input key", GOOD + "inputs: {n: {type: any, defualt: b}}\n", "unknown-key", 3, "'default'"),
    ("required that is no boolean", GOOD + "inputs: {n: {required: maybe}}\n", "wrong-type", 3, "true or false"),
    ("outputs as a text", GOOD + "outputs: x\n", "wrong-type", 3, "outputs must be a mapping"),
    ("an output without a name", GOOD + "outputs: [x]\n", "wrong-type", 3, "{name: …, value: …}"),
    ("an output of no step", GOOD + "outputs: {x: '{{ steps.b }}'}\n", "unknown-step", 3, "no step 'b'"),
    ("an output of no output", GOOD + "outputs: {x: '{{ outputs.y }}'}\n", "unknown-output", 3, "no output 'y'"),
    ("a list of an output without a name", GOOD + "outputs: [{value: 1}]\n", "wrong-type", 3, "must be {name: …,"),
    ("outputs in a circle", GOOD + "outputs: {x: '{{ outputs.y }}', y: '{{ outputs.x }}'}\n", "cycle", 3, "x → y → x"),
    ("a pipeline id with blanks", GOOD + "id: my pipe\n", "bad-id", 3, "my_pipe"),
    ("a model that is a list", GOOD + "model: [a]\n", "wrong-type", 3, "model must be a name"),
]

STEPS = [
    ("an unknown key", step(f"{TERMINAL}, depend_on: [fetch]"), "unknown-key", "did you mean 'depends_on'?"),
    ("no tool and no action", step("name: x"), "no-action", "neither a tool nor an action"),
    ("an empty tool", step("tool: null"), "wrong-type", "tool is empty"),
    ("a tool that is a list", step("tool: [terminal]"), "wrong-type", "tool must be text"),
    ("a misspelt tool", step("tool: filesystm"), "unknown-tool", "did you mean 'filesystem'?"),
    ("no such tool", step("tool: zzzz"), "unknown-tool", "tools: approval-gate, data-processing, debug"),
    ("a misspelt action", step("tool: filesystem, action: raed"), "unknown-action", "did you mean 'read'?"),
    ("an action to choose", step("tool: filesystem"), "no-action", "read, write, append"),
    ("an action that is a template", step("tool: http, action: '{{ x }}'"), "unknown-action", "cannot be a template"),
    ("prose", step("action: Fetch the data"), "unknown-action", "no action 'Fetch the data'"),
    ("a misspelt model action", step("action: generate_txt"), "unknown-action", "did you mean 'generate_text'?"),
    ("a function without a module", step("tool: 'python:f'"), "unknown-tool", "python:package.module:function"),
    ("a missing parameter", step("tool: filesystem, action: read"), "missing-parameter", "needs 'path'"),
    (
        "a missing parameter with aliases",
        step("tool: filesystem, action: copy, parameters: {src: a}"),
        "missing-parameter",
        "needs 'destination'",
    ),
    ("no prompt", step("action: generate_text"), "missing-parameter", "needs prompt or messages"),
    (
        "a parameter of another type",
        step("tool: filesystem, action: read, parameters: {path: [5]}"),
        "parameter-type",
        "found a list",
    ),
    (
        "parameters that are a list",
        step("tool: terminal, parameters: [a]"),
        "wrong-type",
        "parameters must be a mapping",
    ),
    ("a negative timeout", step(f"{TERMINAL}, timeout: -1"), "out-of-range", "0 to 86400 seconds, found -1"),
    ("no time", step(f"{TERMINAL}, timeout: 0"), "out-of-range", "more than 0 seconds"),
    ("a huge timeout", step(f"{TERMINAL}, timeout: 1000000000"), "out-of-range", "86400"),
    ("a timeout with a unit", step(f"{TERMINAL}, timeout: 5 min"), "wrong-type", "a plain number, such as 90"),
    ("a templated timeout", step(f"{TERMINAL}, timeout: '{{{{ t }}}}'"), "wrong-type", "a template cannot stand here"),
    ("a boolean timeout", step(f"{TERMINAL}, timeout: true"), "wrong-type", "found the boolean true"),
    ("a negative retry", step(f"{TERMINAL}, retry: -1"), "out-of-range", "extra attempts"),
    ("too many attempts", step(f"{TERMINAL}, max_retries: 101"), "out-of-range", "1 to 100 attempts"),
    ("half an attempt", step(f"{TERMINAL}, retry: 1.5"), "wrong-type", "whole number"),
    ("a misspelt retry key", step(f"{TERMINAL}, retry: {{atempts: 2}}"), "unknown-key", "did you mean 'attempts'?"),
    ("an unknown policy", step(f"{TERMINAL}, on_failure: contineu"), "wrong-value", "did you mean 'continue'?"),
    ("continue_on_error as text", step(f"{TERMINAL}, continue_on_error: maybe"), "wrong-type", "true or false"),
    ("a condition that is a number", step(f"{TERMINAL}, condition: 5"), "wrong-type", "text or a boolean"),
    ("a condition that does not parse", step(f"{TERMINAL}, condition: 'x >'"), "template", "condition 'x >'"),
    ("an unknown dependency", step(f"{TERMINAL}, dependencies: [fecth]"), "unknown-step", "did you mean 'fetch'?"),
    ("a dependency that is a number", step(f"{TERMINAL}, dependencies: [1]"), "wrong-type", "must name steps"),
    ("dependencies as a mapping", step(f"{TERMINAL}, dependencies: {{fetch: 1}}"), "wrong-type", "a list of steps"),
    ("a step that waits for itself", step(f"{TERMINAL}, dependencies: [a]"), "cycle", "a → a"),
    ("a step that reads itself", step("tool: terminal, parameters: {command: '{{ a.result }}'}"), "cycle", "a → a"),
    ("a misspelt step", step("tool: terminal, parameters: {command: '{{ fetchh.x }}'}"), "unknown-step", "'fetch'?"),
    ("no such step", step("tool: terminal, parameters: {command: '{{ steps.b.x }}'}"), "unknown-step", "no step 'b'"),
    ("all steps", step("tool: terminal, parameters: {command: '{{ steps }}'}"), "unresolved-name", "name the step"),
    ("an unknown filter", step("tool: terminal, parameters: {command: '{{ 1 | nope }}'}"), "template", "'nope'"),
    (
        "a forbidden attribute",
        step("tool: terminal, parameters: {command: \"{{ ''.__class__ }}\"}"),
        "template",
        "__class__",
    ),
    (
        "a model that is a mapping",
        step("action: generate, model: {a: 1}, parameters: {prompt: p}"),
        "wrong-type",
        "a name",
    ),
]

LATER = [
    *("steps: []", "dynamic_routing: {}"),
    *("goto: '<AUTO>which?</AUTO>'", "on_success: '<AUTO>which?</AUTO>'"),
]

IDS = [
    ("fetch data", "bad-id", "fetch_data"),
    ("fetch.data", "bad-id", "fetch_data"),
    ("fetch/data", "bad-id", "fetch_data"),
    ("'fetch:data'", "bad-id", "fetch_data"),
    ("_fetch", "bad-id", "fetch"),
    ("'2nd'", "bad-id", "p_2nd"),
    ("fеtch", "bad-id", "U+0435"),
    ("fetch\u200b", "bad-id", "U+200B"),
    ("'../../etc'", "bad-id", "etc"),
    ('"a\\nb"', "bad-id", "a\\nb"),
    ("'<script>'", "bad-id", "script"),
    ('""', "bad-id", "is not an id"),
    ("x" * 200, "bad-id", "200 characters"),
    ("x" * 1_000_000, "bad-id", "1,000,000 characters"),
    ("7", "wrong-type", "must be text"),
    ("[a]", "wrong-type", "must be text"),
    *((word, "reserved-id", f"{word}_step") for word in ("inputs", "steps", "None", "items", "self", "loop", "get")),
]


class TestRefused:
    @pytest.mark.parametrize(("text", "code", "line", "words"), [row[1:] for row in TEXT], ids=[row[0] for row in TEXT])
    def test_text(self, text: str | bytes, code: str, line: int, words: str) -> None:
        (problem,) = problems_of(text)
        assert (problem.code, problem.line) == (code, line)
        assert words in problem.render("f")
        assert problem.column > 0 or not line

    @pytest.mark.parametrize(
        ("text", "code", "line", "words"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES]
    )
    def test_values(self, text: str, code: str, line: int, words: str) -> None:
        found = [problem for problem in problems_of(text) if problem.code == code]
        assert [problem.line for problem in found] == [line]
        assert words in found[0].render("f")

    @pytest.mark.parametrize(("text", "code", "line", "words"), [row[1:] for row in TOP], ids=[row[0] for row in TOP])
    def test_the_top(self, text: str, code: str, line: int, words: str) -> None:
        (problem,) = problems_of(text)
        assert (problem.code, problem.line) == (code, line)
        assert words in problem.render("f")

    @pytest.mark.parametrize(("text", "code", "words"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
    def test_steps(self, text: str, code: str, words: str) -> None:
        (problem,) = problems_of(text)
        assert (problem.code, problem.line, problem.step) == (code, 2, "a")
        assert words in problem.render("f")

    @pytest.mark.parametrize("key", LATER)
    def test_what_comes_later(self, key: str) -> None:
        (problem,) = problems_of(step(f"{TERMINAL}, {key}"))
        assert (problem.code, problem.line, problem.step) == ("not-yet", 2, "a")
        assert problem.column > 8

    @pytest.mark.parametrize("tool", ["image-generation", "database"])
    def test_tools_that_come_later(self, tool: str) -> None:
        (problem,) = problems_of(step(f"tool: {tool}"))
        assert (problem.code, problem.message) == ("not-yet", f"tool '{tool}' is not in this release")

    @pytest.mark.parametrize(
        ("action", "remedy"), [("evaluate_condition", "write the condition on the steps"), ("loop_complete", "")]
    )
    def test_actions_that_come_later(self, action: str, remedy: str) -> None:
        (problem,) = problems_of(step(f"action: {action}"))
        assert problem.code == "not-yet"
        assert problem.remedy.startswith(remedy)

    @pytest.mark.parametrize(
        "keys",
        [
            "action: generate_text, credential: <AUTO>, parameters: {prompt: p}",
            "action: generate_text, parameters: {prompt: p, fallback_models: ['<AUTO task=\"a\">b</AUTO>']}",
            f"{TERMINAL}, dependencies: '<AUTO>which?</AUTO>'",
            f"{TERMINAL}, timeout: '<AUTO>how long?</AUTO>'",
            f"{TERMINAL}, for_each: [1], max_parallel: '<AUTO>how many?</AUTO>'",
            "tool: '<AUTO>which?</AUTO>', action: read",
        ],
    )
    def test_auto_tags_where_no_model_can_be_asked(self, keys: str) -> None:
        problem = problems_of(step(keys))[0]
        assert (problem.code, problem.line) == ("not-yet", 2)
        assert "<AUTO>" in problem.message

    def test_an_open_tag_that_breaks_the_file(self) -> None:
        text = "steps:\n- id: a\n  # <AUTO> in a comment\n  size: <AUTO>best: small\n  model: <AUTO>\n"
        (problem,) = problems_of(text)
        assert (problem.code, problem.line, problem.column, problem.remedy) == ("yaml", 4, 9, "end it with </AUTO>")

    @pytest.mark.parametrize(("written", "code", "words"), IDS, ids=[row[0][:20] for row in IDS])
    def test_ids(self, written: str, code: str, words: str) -> None:
        found = problems_of(f"steps:\n- {{id: {written}, {TERMINAL}}}\n")
        assert [(problem.code, problem.line) for problem in found] == [(code, 2)]
        assert words in found[0].render("f")
        assert len(found[0].render("f")) < 400


class TestGraph:
    def test_a_cycle_is_spelled_out_with_its_first_line(self) -> None:
        (problem,) = problems_of(
            textwrap.dedent("""\
                steps:
                - {id: z, tool: terminal, parameters: {command: x}}
                - {id: a, tool: terminal, parameters: {command: x}, dependencies: [c, z]}
                - {id: b, tool: terminal, parameters: {command: "{{ a.result }}"}}
                - {id: c, tool: terminal, parameters: {command: x}, condition: b.success}
                - {id: d, tool: terminal, parameters: {command: x}, dependencies: [c]}
            """)
        )
        assert (problem.code, problem.line) == ("cycle", 3)
        assert "a → b → c → a" in problem.message

    def test_cycles_apart_are_all_named(self) -> None:
        pairs = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]
        rows = "\n".join(f"- {{id: {one}, {TERMINAL}, dependencies: [{other}]}}" for one, other in pairs)
        found = problems_of(f"steps:\n{rows}\n")
        assert ["a → b → a" in found[0].message, "c → d → c" in found[1].message] == [True, True]

    def test_a_duplicate_id_names_both_lines(self) -> None:
        (problem,) = problems_of(f"steps:\n- {{id: a, {TERMINAL}}}\n\n- {{id: a, {TERMINAL}, dependencies: [a]}}\n")
        assert (problem.code, problem.line) == ("duplicate-id", 4)
        assert "on line 2" in problem.message

    def test_a_hyphen_in_a_bare_condition_is_explained(self) -> None:
        text = f"steps:\n- {{id: fetch-data, {TERMINAL}}}\n- {{id: b, {TERMINAL}, condition: fetch-data.result}}\n"
        (problem,) = problems_of(text)
        assert (problem.code, problem.line) == ("hyphen-in-id", 3)
        assert "fetch_data" in problem.remedy


class TestAllAtOnce:
    TEXT = textwrap.dedent("""\
        nmae: x
        steps:
          - id: a
            tool: filesystm
            timeout: -1
          - id: b
            action: generate_text
            parameters:
              prompt: |
                fine
                {{ broken | nope }}
              system: <AUTO>
            dependencies: [aa]
        outputs: {x: "{{ steps.c }}"}
    """)

    def test_every_problem_is_found_in_one_pass_in_the_order_of_the_file(self) -> None:
        found = [(problem.line, problem.code, problem.step) for problem in problems_of(self.TEXT)]
        assert found == [
            (1, "unknown-key", ""),
            (4, "unknown-tool", "a"),
            (5, "out-of-range", "a"),
            (11, "template", "b"),
            (12, "wrong-value", "b"),
            (13, "unknown-step", "b"),
            (14, "unknown-step", ""),
        ]

    def test_twenty_are_shown(self) -> None:
        rows = "\n".join(f"- {{id: s{i}, tool: nope{i}}}" for i in range(30))
        with pytest.raises(PlanInvalid) as caught:
            loads(f"steps:\n{rows}")
        assert len(caught.value.problems) == 30
        assert str(caught.value).endswith("\nand 10 more")

    def test_a_secret_is_never_repeated(self) -> None:
        secret = "sk-proj-abcdefghij0123456789"
        with pytest.raises(PlanInvalid) as caught:
            loads(f"{secret}: 1\nsteps:\n- {{id: {secret}, tool: {secret}, dependencies: [{secret}]}}\n")
        shown = repr([problem.as_dict() for problem in caught.value.problems]) + str(caught.value)
        assert "sk-p…" in shown
        assert "abcdefghij" not in shown

    def test_control_characters_are_shown_escaped(self) -> None:
        (problem,) = problems_of(step('tool: "term\\e[31minal\\u202e"'))
        assert problem.message.isprintable()
        assert "\\x1b" in problem.message
