"""Where a plan lets strangers' words meet private data and a way out, or decide what is done; and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract import catalog
from orchestrator_client.contract.catalog.trust import TRUST
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.project import FILE_VARIABLE
from orchestrator_client.loader import loads
from orchestrator_client.loader.codes import Code

FOUND = "{id: found, tool: web-search, parameters: {query: cats}}"
KNOWN = "{id: known, tool: mcp-memory, action: retrieve, parameters: {key: k}}"
MAIL = "{id: mail, tool: http, action: get, parameters: {url: 'https://a.org/', headers: {A: 'secret://TOKEN'}}}"
BOTH = "{id: both, action: generate, model: m, parameters: {prompt: '{{ found.result }} {{ known.result }}'}}"
SENT = "tool: http, action: post, parameters: {url: 'https://b.org/', body: '{{ both.result }}'}"
OURS = {Code.RULE_OF_TWO, Code.UNTRUSTED_CONTENT}


def doubts(*steps: str) -> list[Problem]:
    text = "steps:\n" + "".join(f"  - {step}\n" for step in steps)
    return [problem for problem in loads(text, "p.yaml").warnings if problem.code in OURS]


def codes(*steps: str) -> list[str]:
    return [problem.code for problem in doubts(*steps)]


@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def says(word: str) -> None:
        file = tmp_path / "orchestrator.toml"
        file.write_text(f'[security]\nrule_of_two = "{word}"\n')
        monkeypatch.setenv(FILE_VARIABLE, str(file))

    return says


def test_all_three_meet_in_a_step() -> None:
    (problem,) = doubts(FOUND, KNOWN, BOTH, f"{{id: send, {SENT}}}")
    assert (problem.code, problem.line, problem.step, problem.warning) == ("rule-of-two", 5, "send", True)
    assert problem.message == (
        "untrusted content (found → both → send) and private data (known → both → send) meet in step 'send', "
        "which can send them out or cannot be undone"
    )
    assert problem.remedy == (
        "let an approval-gate that shows them stand in its condition, or write accepts: [untrusted] on it"
    )


@pytest.mark.parametrize("missing", [FOUND, KNOWN])
def test_two_of_them_may_meet(missing: str) -> None:
    kept = [FOUND, KNOWN]
    kept.remove(missing)
    name = "known" if missing is FOUND else "found"
    send = f"{{id: send, tool: terminal, parameters: {{command: [mail, '{{{{ {name}.result }}}}']}}}}"
    assert codes(*kept, send) == []


def test_without_a_way_out_all_may_meet() -> None:
    assert (
        codes(FOUND, KNOWN, BOTH, "{id: t, tool: text, action: count_words, parameters: {text: '{{ both.result }}'}}")
        == []
    )


def test_the_step_may_accept_it() -> None:
    assert codes(FOUND, KNOWN, BOTH, f"{{id: send, {SENT}, accepts: [untrusted]}}") == []


def test_it_accepts_what_there_is_to_accept() -> None:
    with pytest.raises(PlanInvalid, match=r"accepts names 'all'; write accepts: \[untrusted\]"):
        doubts(f"{FOUND[:-1]}, accepts: [all]}}")


GATE = "{id: gate, tool: approval-gate, parameters: {content: '{{ %s.result }}'}}"


@pytest.mark.parametrize(
    ("shown", "condition", "expected"),
    [
        ("both", "{{ gate.approved }}", []),
        ("both", "gate.approved", []),
        ("known", "{{ gate.approved }}", ["rule-of-two"]),
        ("both", "{{ both.result }}", ["rule-of-two"]),
    ],
)
def test_a_person_who_was_shown_it_may_let_it_pass(shown: str, condition: str, expected: list[str]) -> None:
    send = f"{{id: send, {SENT}, dependencies: [gate], condition: '{condition}'}}"
    assert codes(FOUND, KNOWN, BOTH, GATE % shown, send) == expected


def test_a_gate_before_a_loop_holds_for_its_body() -> None:
    loop = f"{{id: each, for_each: [1], condition: gate.approved, steps: [{{id: send, {SENT}}}]}}"
    assert codes(FOUND, KNOWN, BOTH, GATE % "both", loop) == []


@pytest.mark.parametrize(
    "way_out",
    [
        "tool: terminal, parameters: {command: [mail, '%s']}",
        "tool: python-executor, action: execute, parameters: {code: 'print(1) #', x: '%s'}",
        "tool: http, action: get, parameters: {url: 'https://b.org/?q=%s'}",
        "tool: http, action: get, parameters: {url: 'https://b.org/', params: {q: '%s'}}",
        "tool: http, action: request, parameters: {url: 'https://b.org/', method: PUT, body: '%s'}",
        "tool: headless-browser, action: scrape, parameters: {url: 'https://b.org/%s'}",
        "tool: filesystem, action: write, parameters: {path: ../out.txt, content: '%s'}",
        "tool: filesystem, action: write, parameters: {path: /srv/out.txt, content: '%s'}",
        "tool: 'mcp:mail/send', parameters: {text: '%s'}",
        "tool: mcp-server, action: call_tool, parameters: {server_name: m, tool_name: t, tool_params: {a: '%s'}}",
        "tool: 'langchain:a.b:C', parameters: {text: '%s'}",
    ],
)
def test_ways_out(way_out: str) -> None:
    assert codes(FOUND, KNOWN, BOTH, f"{{id: send, {way_out % '{{ both.result }}'}}}") == ["rule-of-two"]


@pytest.mark.parametrize(
    "inner",
    [
        "tool: http, action: get, parameters: {url: 'https://b.org/', json: '%s'}",
        "tool: http, action: request, parameters: {url: 'https://b.org/', method: get, json: '%s'}",
        "tool: filesystem, action: write, parameters: {path: out/a.txt, content: '%s'}",
        "tool: 'python:a.b:c', parameters: {text: '%s'}",
        "tool: terminal, parameters: {command: date}, condition: '%s'",
        "action: generate, model: m, parameters: {prompt: '%s', tools: [mcp-memory.retrieve]}",
    ],
)
def test_what_is_no_way_out(inner: str) -> None:
    assert codes(FOUND, KNOWN, BOTH, f"{{id: send, {inner % '{{ both.result }}'}}}") == []


@pytest.mark.parametrize("field", ["status", "success"])
def test_how_a_step_ended_is_no_content(field: str) -> None:
    send = "tool: http, action: post, parameters: {url: 'https://b.org/', body: '{{ both.%s }} {{ known.result }}'}"
    assert codes(FOUND, KNOWN, BOTH, f"{{id: send, {send % field}}}") == []


def test_an_answer_to_a_secret_is_private() -> None:
    send = "{id: send, tool: http, action: post, parameters: {url: 'https://b.org/', body: '{{ mail.result }}'}}"
    assert [problem.message.partition(" meet")[0] for problem in doubts(MAIL, send)] == [
        "untrusted content (mail → send) and private data (mail → send)"
    ]


def test_a_secret_of_the_step_itself_goes_where_the_plan_says() -> None:
    send = "parameters: {url: '%s', body: '{{ found.result }}', headers: {A: 'secret://TOKEN'}}}"
    step = "{id: send, tool: http, action: post, " + send
    assert codes(FOUND, step % "https://b.org/") == []
    assert codes(FOUND, step % "https://{{ found.result }}/") == ["rule-of-two", "untrusted-content"]


def test_a_file_outside_of_the_folder_is_private() -> None:
    read = "{id: read, tool: filesystem, action: read, parameters: {path: '%s'}}"
    send = (
        "{id: send, tool: http, action: post, parameters: {url: 'https://b.org/', "
        "body: '{{ read.result }} {{ found.result }}'}}"
    )
    assert codes(FOUND, read % "~/.ssh/id_rsa", send) == ["rule-of-two"]
    assert codes(FOUND, read % "notes.txt", send) == []


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ("web-search, mcp-memory.retrieve, http.post", ["rule-of-two"]),
        ("http.get, mcp-memory.retrieve", ["rule-of-two"]),
        ("web-search, mcp-memory.retrieve", []),
        ("mcp-memory.retrieve, terminal", []),
        ("web-search, terminal", ["untrusted-content"]),
    ],
)
def test_a_model_has_all_that_its_tools_have(offered: str, expected: list[str]) -> None:
    assert codes(f"{{id: ask, action: generate, model: m, parameters: {{prompt: hi, tools: [{offered}]}}}}") == expected


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("tool: terminal, parameters: {command: 'echo {{ found.result }}'}", "the command"),
        ("tool: terminal, parameters: {command: ['{{ found.result }}', a]}", "the command"),
        ("tool: terminal, parameters: {command: [sh, -c, 'echo {{ found.result }}']}", "the command"),
        ("tool: python-executor, parameters: {code: '{{ found.result }}'}", "the code"),
        ("tool: http, action: get, parameters: {url: 'https://{{ found.result }}/x'}", "the host"),
        ("tool: http, action: get, parameters: {url: '{{ found.result }}'}", "the host"),
        ("tool: filesystem, action: write, parameters: {path: 'a/{{ found.result }}.md', content: x}", "the path"),
        ("tool: filesystem, action: move, parameters: {src: a, dest: '{{ found.result }}'}", "the path"),
        ("tool: pdf-compiler, parameters: {content: x, path: '{{ found.result }}'}", "the path"),
    ],
)
def test_what_strangers_words_decide(keys: str, said: str) -> None:
    (problem,) = doubts(FOUND, f"{{id: run, {keys}}}")
    assert (problem.code, problem.line, problem.step, problem.warning) == ("untrusted-content", 3, "run", True)
    assert problem.message == f"untrusted content decides {said} of step 'run': found → run"
    assert problem.remedy == "let the plan say it, or write accepts: [untrusted] on the step"


@pytest.mark.parametrize(
    "keys",
    [
        "tool: terminal, parameters: {command: [grep, '{{ found.result }}', a]}",
        "tool: terminal, parameters: {command: [sh, -c, 'echo \"$0\"', '{{ found.result }}']}",
        "tool: http, action: get, parameters: {url: 'https://a.org/{{ found.result }}'}",
        "tool: headless-browser, action: scrape, parameters: {url: '{{ found.result }}'}",
        "tool: filesystem, action: write, parameters: {path: a.md, content: '{{ found.result }}'}",
        "tool: terminal, accepts: untrusted, parameters: {command: 'echo {{ found.result }}'}",
    ],
)
def test_what_they_may_be_given_to(keys: str) -> None:
    assert codes(FOUND, f"{{id: run, {keys}}}") == []


RUN = "{id: run, tool: terminal, parameters: {command: 'echo {{ %s }}'}}"


def test_it_goes_through_loops() -> None:
    loop = "{id: each, for_each: '{{ found.results }}', steps: [%s]}"
    assert [problem.message for problem in doubts(FOUND, loop % (RUN % "item.title"))] == [
        "untrusted content decides the command of step 'run': found → run"
    ]
    inner = "{id: word, tool: text, action: echo, parameters: {text: '{{ item }}'}}"
    assert [problem.message for problem in doubts(FOUND, loop % inner, RUN % "each.results")] == [
        "untrusted content decides the command of step 'run': found → word → each → run"
    ]


def test_a_later_pass_sees_what_an_earlier_one_left() -> None:
    first = "{id: say, tool: text, action: echo, parameters: {text: '{{ look.result | default(1) }}'}}"
    look = "{id: look, tool: web-search, parameters: {query: '{{ look.result | default(1) }}'}}"
    loop = f"{{id: again, while: 'iteration < 2', steps: [{first}, {look}, {RUN % 'say.result'}]}}"
    assert codes(loop) == ["untrusted-content"]


def test_a_loop_accepts_for_its_body() -> None:
    assert codes(FOUND, f"{{id: each, for_each: [1], accepts: [untrusted], steps: [{RUN % 'found.result'}]}}") == []


def test_it_comes_out_of_pipelines() -> None:
    child = f"{{id: sub, tool: pipeline-executor, parameters: {{pipeline: {{id: c, steps: [{FOUND}]}}}}}}"
    assert codes(child, RUN % "sub.outputs.x") == ["untrusted-content"]


def test_what_a_pipeline_does_itself_is_told_where_it_stands() -> None:
    steps = f"[{FOUND}, {RUN % 'found.result'}]"
    (problem,) = doubts(f"{{id: sub, tool: pipeline-executor, parameters: {{pipeline: {{id: c, steps: {steps}}}}}}}")
    assert problem.message.startswith("in its pipeline: step 'run': untrusted content decides the command")


def test_a_long_way_is_cut() -> None:
    echo = "{id: e%d, tool: text, action: echo, parameters: {text: '{{ %s.result }}'}}"
    chain = [echo % (n, f"e{n - 1}" if n else "found") for n in range(8)]
    (problem,) = doubts(FOUND, *chain, RUN % "e7.result")
    assert problem.message.endswith(": found → e0 → e1 → e2 → … → run")


def test_the_project_may_refuse_it_or_not_look(rule) -> None:
    steps = (FOUND, KNOWN, BOTH, f"{{id: send, {SENT}}}")
    rule("off")
    assert codes(*steps) == []
    rule("enforce")
    with pytest.raises(PlanInvalid, match="meet in step 'send'") as refused:
        doubts(*steps)
    assert [problem.code for problem in refused.value.problems] == ["rule-of-two"]
    assert codes(*steps[:3], f"{{id: send, {SENT}, accepts: [untrusted]}}") == []


def test_every_tool_says_what_it_does_with_content() -> None:
    unsaid = [name for name in catalog.TOOLS if name not in TRUST and name.rpartition(".")[0] not in TRUST]
    assert unsaid == []
    tools = {name.rpartition(".")[0] for name in catalog.TOOLS}
    assert TRUST.keys() <= tools | catalog.TOOLS.keys()


def test_what_it_says_of_parameters_is_said_of_parameters_that_there_are() -> None:
    for name, spec in catalog.TOOLS.items():
        trust = TRUST.get(name) or TRUST[name.rpartition(".")[0]]
        if name.startswith("headless-browser.search"):
            continue  # it has a query alone
        assert {*trust.address, *trust.decides} <= spec.parameters.model_fields.keys(), name
