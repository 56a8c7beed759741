"""Bad input through the real command line: refused in clear words before anything runs, or failed without harm."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.command_line import Ended, Shell, peak_memory_bytes
from tests.conformance.model_server import ModelServer

GOOD = """\
    steps:
    - {id: mark, tool: terminal, parameters: {command: "touch ran"}}
"""

MEBIBYTE = 1024 * 1024


PLACE = "plan.yaml:3:49  "
"""Of the template in `command`."""


def step(keys: str) -> str:
    """A plan of the step that leaves a mark, and on its third line of this one."""
    return f"{GOOD}    - {{id: b, {keys}}}\n"


def command(template: str) -> str:
    """A plan with this template for a command."""
    return step(f'tool: terminal, parameters: {{command: "{template}"}}')


BOMB = "    x0: &x0 [lol]\n" + "".join(f"    x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9))

REFUSED = [
    ("not YAML", f"{GOOD}    - [\n", ["plan.yaml:4:1  not YAML"]),
    ("an open quote", f"{GOOD}    name: 'abc\n", ["plan.yaml:3:7  this quote is never closed"]),
    (
        "a cycle",
        step("tool: terminal, parameters: {command: x}, dependencies: [c]")
        + "    - {id: c, tool: terminal, parameters: {command: x}, dependencies: [b]}\n",
        ["plan.yaml:3:1  steps run in a circle: b → c → b", "remove one of these dependencies"],
    ),
    (
        "an unknown dependency",
        step("tool: terminal, parameters: {command: x}, dependencies: [makr]"),
        ["plan.yaml:3:68  no step 'makr'", "did you mean 'mark'?"],
    ),
    ("a duplicate id", GOOD + GOOD.splitlines()[1] + "\n", ["plan.yaml:3:8  step id 'mark'", "on line 2"]),
    ("a duplicate key", f"{GOOD}    name: a\n    name: b\n", ["plan.yaml:4:1  key 'name'", "on line 3"]),
    (
        "an unknown action",
        step("tool: filesystem, action: raed"),
        ["plan.yaml:3:29  tool 'filesystem' has no action 'raed'", "did you mean 'read'?"],
    ),
    ("an unknown tool", step("tool: filesystm"), ["plan.yaml:3:11  no tool 'filesystm'", "did you mean 'filesystem'?"]),
    ("an unknown action of a model", step("action: generate_txt"), ["did you mean 'generate_text'?"]),
    ("an alias bomb", f"{GOOD}{BOMB}", ["plan.yaml:3:5  anchor 'x0' is not allowed", "alias 'x0' is not allowed"]),
    ("a template that does not parse", command("{{ 1 + }}"), [PLACE + "template does not parse"]),
    ("a template that reaches into Python", command("{{ ''.__class__ }}"), [PLACE, "attribute '__class__'"]),
    ("a thousand loops", command("{% for i in [1] %}" * 1000), [PLACE + "the template nests too deep"]),
    ("a template of 2 MB", command("{{ 1 }}" + "x" * 2 * MEBIBYTE), [PLACE, "larger than 1,048,576"]),
    (
        "a template that calls itself for ever",
        command("{% macro f(k) %}{{ f(k + 1) }}{% endmacro %}{{ f(0) }}"),
        [PLACE, "macro 'f' leads back to itself"],
    ),
    (
        "a template that doubles a text for ever",
        command("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"),
        [PLACE, "assignment to a field"],
    ),
    (
        "a key of a provider",
        f"{GOOD}    name: sk-proj-abcdefghij0123456789\n",
        ["plan.yaml:3:7", "like a secret (sk-p…)"],
    ),
]

WITH_INPUTS = f"""\
    inputs:
      topic: {{type: string, required: true}}
      depth: {{type: integer, default: 3}}
      mode: {{choices: [fast, slow], default: fast}}
{GOOD}"""

LOOPS = {
    "nested": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "wide": "{% for i in range(n) %}x{% endfor %}",
    "times": "{{ 'x' * n }}",
    "listed": "{{ [0] * n }}",
    "power": "{{ 9 ** n }}",
    "padded": "{{ ('%' ~ n ~ 'd') | format(1) }}",
    "percent": "{{ '%*d' | format(n, 1) }}",
    "centred": "{{ 'x' | center(n) }}",
    "replaced": "{% set s = 'x' * 1000000 %}{{ s | replace('x', s) }}",
    "backtracking": "{{ ('a' * 5000) | regex_replace('(a+)+$', 'x') | regex_search('(a|a)*b') }}",
    "joined": "{% set s = 'x' * 1000000 %}{{ range(9999) | join(s) }}",
}
"""Templates that would run for ever, or fill the memory: `n` is a thousand million. All of them are made to read it:
those that read nothing are refused before anything runs."""


def assert_refused(ended: Ended, words: list[str], code: int = 2) -> None:
    """The command has refused in these words."""
    assert ended.code == code, ended.said
    assert "Traceback" not in ended.said
    assert all(word in ended.said for word in words), ended.said
    assert max(map(len, ended.said.splitlines())) < 400


def assert_nothing_ran(shell: Shell) -> None:
    """No step has, and not even a fleet was started for it."""
    assert not (shell.folder / "ran").exists()
    assert list(shell.temporary.iterdir()) == []


def hostile_plan(templates: dict[str, str]) -> str:
    """A plan whose steps would each write what one of the templates renders to."""
    steps = [
        {
            "id": name,
            "tool": "filesystem",
            "action": "write",
            "on_failure": "continue",
            "max_retries": 1,
            "parameters": {"path": f"written/{name}", "content": f"{template}{{{{ n }}}}"},
        }
        for name, template in templates.items()
    ]
    return json.dumps({"inputs": {"n": {"default": 1_000_000_000}}, "steps": steps})


@contextmanager
def plain_server() -> Iterator[int]:
    """The port of a server that answers every caller as a Redis would, without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with listening.accept()[0] as caller:
                        caller.recv(65536)  # all of it: a socket that is closed with bytes unread resets the connection
                        caller.sendall(b"-ERR unknown command\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]


class TestRefusedBeforeAnythingRuns:
    @pytest.mark.parametrize(("text", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
    def test_plans(self, shell: Shell, text: str, words: list[str]) -> None:
        shell.write(text)
        assert_refused(shell.run("validate", "plan.yaml"), [*words, "plan.yaml: invalid"])
        assert_refused(shell.run("run", "plan.yaml"), words)
        assert_nothing_ran(shell)

    @pytest.mark.parametrize(
        ("pairs", "words"),
        [
            ([], ["input 'topic' (string) is required", "-i topic=…"]),
            (["topic=a", "depth=deep"], ["input 'depth': expected integer", '"deep"']),
            (["topic=a", "depth=2.5"], ["input 'depth': expected integer", "2.5"]),
            (["topic=a", "mode=medium"], ["input 'mode'", '"medium" is none of "fast", "slow"']),
            (["topic"], ["expected key=value, found 'topic'"]),
        ],
        ids=["missing", "text for an integer", "a fraction for an integer", "no choice", "no value"],
    )
    def test_inputs(self, shell: Shell, pairs: list[str], words: list[str]) -> None:
        shell.write(WITH_INPUTS)
        assert shell.run("validate", "plan.yaml").code == 0
        assert_refused(shell.run("run", "plan.yaml", *(part for pair in pairs for part in ("-i", pair))), words)
        assert_nothing_ran(shell)

    @pytest.mark.parametrize(
        ("name", "words"),
        [("missing", "cannot open the plan: No such file"), ("folder", "directory"), ("fifo", "a FIFO")],
    )
    def test_files_that_are_none(self, shell: Shell, name: str, words: str) -> None:
        shell.forks = False
        (shell.folder / "folder").mkdir()
        os.mkfifo(shell.folder / "fifo")
        assert_refused(shell.run("run", name), [name, words])
        assert shell.run("validate", name).code == 2
        assert_nothing_ran(shell)

    def test_a_redis_that_is_not_there(self, shell: Shell) -> None:
        ended = shell.run("run", shell.write(GOOD), "--redis", f"unix://{shell.folder}/no.sock")
        assert_refused(ended, ["cannot use Redis at unix://"], code=3)
        assert_nothing_ran(shell)

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("unix://:wr0ng@{path}?db=0", "invalid username-password pair"),
            ("unix://{path}?db=0", "it asks for a password"),
            ("unix://:s3cret@{path}?db=99", "DB index is out of range"),
            ("rediss://127.0.0.1:{port}", "SSL"),
        ],
        ids=["another password", "no password", "no such database", "encrypted"],
    )
    def test_a_redis_that_does_not_let_us_in(self, shell: Shell, url: str, words: str) -> None:
        """In one line each, without the password; the last one speaks plain text where TLS is wanted."""
        path = shell.redis().removeprefix("unix://").partition("?")[0]
        with redis.Redis(unix_socket_path=path) as client, plain_server() as port:
            client.config_set("requirepass", "s3cret")
            ended = shell.run("submit", shell.write(GOOD), "--redis", url.format(path=path, port=port))
        assert_refused(ended, ["cannot use Redis at", words], code=3)
        assert len(ended.said.splitlines()) == 1
        assert "wr0ng" not in ended.said
        assert "s3cret" not in ended.said


class TestStepsThatFail:
    @staticmethod
    def steps(shell: Shell, *arguments: str, code: int = 1) -> dict[str, Any]:
        """The steps of the document of a run that fails, or ends as `code` says."""
        ended = shell.run("run", "plan.yaml", "-o", "result.json", *arguments)
        assert ended.code == code, ended.said
        assert "Traceback" not in ended.said
        steps: dict[str, Any] = json.loads((shell.folder / "result.json").read_text())["steps"]
        return steps

    @pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
    def test_templates_without_end_or_measure(self, shell: Shell) -> None:
        url = shell.redis()
        worker = shell.worker("w1", "-c", "2", cold=True)
        shell.write(hostile_plan(LOOPS))
        steps = self.steps(shell, "--redis", url)
        refusals = ("TemplateTooLarge", "TemplateForbidden")
        assert {name: step["error_type"] for name, step in steps.items() if step["error_type"] not in refusals} == {}
        assert max(step["duration"] for step in steps.values()) < 60
        assert not (shell.folder / "written").exists()
        assert peak_memory_bytes(worker) < 500 * MEBIBYTE

    @pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
    def test_a_value_of_100_megabytes(self, shell: Shell) -> None:
        url = shell.redis()
        worker = shell.worker("w1", "-c", "2", cold=True)
        shell.write("""\
            steps:
            - {id: small, tool: terminal, parameters: {command: "echo kept"}}
            - {id: big, tool: "python:tests.functions:big", parameters: {megabytes: 100}, dependencies: [small]}
            - {id: after, tool: terminal, parameters: {command: ["wc", "-c", "{{ big.result.path }}"]}}
        """)
        steps = self.steps(shell, "--redis", url, code=0)
        assert steps["small"]["value"]["result"]["stdout"] == "kept\n"
        assert steps["big"]["value"]["result"]["bytes"] == 100 * MEBIBYTE
        assert steps["after"]["value"]["result"]["stdout"] == f"{100 * MEBIBYTE} artifacts/big.1.1.txt\n"
        assert peak_memory_bytes(worker) < 1000 * MEBIBYTE

    def test_paths_that_leave_the_working_folder(self, shell: Shell, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (shell.folder / "link").symlink_to(outside)
        (shell.folder / "file").symlink_to(outside / "secret")
        os.mkfifo(shell.folder / "fifo")
        wrong = {"up": "../outside/secret", "absolute": f"{outside}/secret", "link": "link/secret", "file": "file"}
        reads = [(f"read_{name}", "read", {"path": path}) for name, path in wrong.items()]
        writes = [(f"write_{name}", "write", {"path": path, "content": "x"}) for name, path in wrong.items()]
        fifo = [("read_fifo", "read", {"path": "fifo"}), ("read_folder", "read", {"path": "."})]
        steps = [
            {"id": name, "tool": "filesystem", "action": action, "on_failure": "continue", "parameters": parameters}
            for name, action, parameters in (*reads, *writes, *fifo)
        ]
        shell.write(json.dumps({"steps": steps}))
        ended = self.steps(shell)
        assert {step["error_type"] for step in ended.values()} == {"ParametersInvalid"}
        errors = {name: step["error"] for name, step in ended.items()}
        assert "a FIFO" in errors.pop("read_fifo")
        assert "is a folder" in errors.pop("read_folder")
        assert [error for error in errors.values() if "outside the run's working folder" not in error] == []
        assert [path.name for path in outside.iterdir()] == ["secret"]
        assert (outside / "secret").read_text() == "secret"

    def test_a_name_that_is_not_there_fails_before_the_side_effect(self, shell: Shell) -> None:
        shell.write("""\
            steps:
            - {id: first, tool: terminal, parameters: {command: "echo hi"}}
            - id: field
              tool: terminal
              on_failure: continue
              parameters: {command: "touch ran; echo {{ first.result.no_such_field }}"}
            - id: input
              tool: terminal
              on_failure: continue
              parameters: {command: "touch ran; echo {{ no_such_input }}"}
        """)
        assert (
            "warning: 'no_such_input' is neither a step nor a declared input" in shell.run("validate", "plan.yaml").out
        )
        steps = self.steps(shell)
        assert {steps[name]["error_type"] for name in ("field", "input")} == {"Unresolved"}
        assert "no_such_field" in steps["field"]["error"]
        assert "no_such_input" in steps["input"]["error"]
        assert not (shell.folder / "ran").exists()

    def test_a_missing_key_is_named_and_no_request_is_made(self, shell: Shell) -> None:
        shell.write("""\
            steps:
            - {id: ask, action: generate_text, parameters: {prompt: hello, model: gpt-4o-mini}}
        """)
        with ModelServer() as server:
            shell.environment["OPENAI_BASE_URL"] = server.url
            steps = self.steps(shell)
            shell.environment["OPENAI_API_KEY"] = "sk-test\nsk-test"
            broken = shell.run("run", "plan.yaml", "--folder", "broken")
            assert server.requests == []
        assert broken.err.startswith("warning: OPENAI_API_KEY of this worker cannot be sent: it holds a newline")
        assert "sk-test" not in broken.said
        assert steps["ask"]["error_type"] == "CredentialMissing"
        assert "OPENAI_API_KEY" in steps["ask"]["error"]
        assert steps["ask"]["retries"] == 0
