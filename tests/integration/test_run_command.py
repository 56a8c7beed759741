"""`orchestrator run` and its companions, as processes: what they print, leave, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

from tests.command_line import ROOT, Shell
from tests.conftest import wait_until

TWO_STEPS = """\
    id: two
    inputs:
      who: {type: string, default: world}
    steps:
      - {id: greet, tool: terminal, parameters: {command: "printf 'hello %s' {{ who }}"}}
      - {id: keep, tool: filesystem, action: write, parameters: {path: said.txt, content: "{{ greet.stdout }}"}}
    outputs:
      said: "{{ greet.stdout }}"
      where: "{{ keep.path }}"
"""

FAILING = """\
    id: failing
    steps:
      - {id: first, tool: terminal, parameters: {command: "echo done"}}
      - {id: broken, tool: terminal, parameters: {command: "echo no such luck >&2; exit 3"}, dependencies: [first]}
      - {id: never, tool: terminal, parameters: {command: "touch never"}, dependencies: [broken]}
"""

SLOW = """\
    id: slow
    steps:
      - {id: first, tool: terminal, parameters: {command: "echo done"}}
      - id: long
        tool: terminal
        dependencies: [first]
        parameters: {command: "sleep 300; echo woke", timeout: 400}
    outputs: {first: "{{ first.stdout }}"}
"""

HELD = """\
    id: held
    steps:
      - id: gate
        tool: terminal
        parameters: {command: "touch waiting; until [ -e go ]; do sleep 0.05; done", timeout: 300}
      - {id: after, tool: terminal, parameters: {command: "echo through"}, dependencies: [gate]}
    outputs: {said: "{{ after.stdout }}"}
"""

DOCUMENT_FIELDS = {
    *("pipeline_id", "execution_id", "status", "success", "steps", "outputs", "execution_order", "execution_levels"),
    *("started_at", "completed_at", "duration", "error", "error_type"),
}
STEP_FIELDS = {
    *("id", "action", "status", "success", "value", "error", "error_type", "tool", "model", "provider", "started_at"),
    *("completed_at", "duration", "retries", "timed_out", "dependencies"),
}


@pytest.fixture(autouse=True)
def _started_from_nothing(shell: Shell) -> None:
    """These tests are about processes as a whole, so none of them is a fork."""
    shell.forks = False


def asleep(shell: Shell) -> bool:
    """Whether the command of the slow step runs."""
    return "sleep" in shell.names()


def wait_until_asleep(shell: Shell) -> None:
    wait_until(lambda: asleep(shell), "the long step runs", 60)


def wait_until_all_is_shown(url: str) -> None:
    """Wait until whoever follows a run has noted all that it has shown: it waits for the next event then."""
    with redis.Redis.from_url(url) as client:
        wait_until(
            lambda: any(one["cmd"] == "xread" and "b" in one["flags"] for one in client.client_list()),
            "the next event is waited for",
        )


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: whoever connects to it hears nothing at all."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


class TestEmbedded:
    def test_two_steps(self, shell: Shell) -> None:
        ended = shell.run("run", shell.write(TWO_STEPS), "-i", "who=rivers", "-o", "result.json")
        assert (ended.code, ended.err) == (0, "")
        assert "step_succeeded keep" in ended.out
        assert "said: hello rivers" in ended.out
        assert "where: said.txt" in ended.out
        assert (shell.folder / "said.txt").read_text() == "hello rivers"
        shell.assert_nothing_left()

    def test_the_document_has_the_fields_of_the_dialect(self, shell: Shell) -> None:
        shell.run("run", shell.write(TWO_STEPS), "-o", "result.json")
        document = json.loads((shell.folder / "result.json").read_text())
        assert document.keys() >= DOCUMENT_FIELDS
        assert all(step.keys() >= STEP_FIELDS for step in document["steps"].values())
        assert (document["pipeline_id"], document["status"], document["success"]) == ("two", "completed", True)
        assert document["outputs"] == {"said": "hello world", "where": "said.txt"}
        assert document["execution_order"] == ["greet", "keep"]
        assert document["execution_levels"] == [["greet"], ["keep"]]
        assert document["steps"]["keep"]["dependencies"] == ["greet"]

    def test_a_result_on_stdout_is_json_alone(self, shell: Shell) -> None:
        ended = shell.run("run", shell.write(TWO_STEPS), "-o", "-")
        assert ended.json["outputs"]["said"] == "hello world"
        assert "step_succeeded greet" in ended.err

    def test_a_failing_plan(self, shell: Shell) -> None:
        ended = shell.run("run", shell.write(FAILING), "-o", "result.json")
        assert ended.code == 1
        assert "Traceback" not in ended.said
        (line,) = [line for line in ended.out.splitlines() if line.startswith("  step ")]
        assert "step broken failed: ToolFailed" in line
        assert "no such luck" in line
        document = json.loads((shell.folder / "result.json").read_text())
        assert (document["status"], document["success"], document["error_type"]) == ("failed", False, "ToolFailed")
        assert [step["status"] for step in document["steps"].values()] == ["completed", "failed", "cancelled"]
        assert not (shell.folder / "never").exists()
        shell.assert_nothing_left()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
    def test_an_interrupt_cancels_the_run(self, shell: Shell, number: signal.Signals) -> None:
        started = shell.start("run", shell.write(SLOW), "-o", "result.json")
        wait_until_asleep(shell)
        started.wait_for("step_started long")  # Only then is it certain to hear of an interrupt as one of the run.
        started.send(number)
        ended = started.end()
        assert ended.code == 130
        assert "Traceback" not in ended.said
        document = json.loads((shell.folder / "result.json").read_text())
        assert [step["status"] for step in document["steps"].values()] == ["completed", "cancelled"]
        shell.assert_nothing_left()

    def test_no_temporary_file_is_left(self, shell: Shell) -> None:
        assert shell.run("run", shell.write(TWO_STEPS)).code == 0
        assert [path.name for path in shell.temporary.iterdir()] == []

    def test_kill_9_leaves_no_process(self, shell: Shell) -> None:
        started = shell.start("run", shell.write(SLOW))
        wait_until_asleep(shell)
        assert "redis-server" in shell.names()
        started.send(signal.SIGKILL)
        started.end()
        wait_until(lambda: not shell.processes(), "Redis, the workers and the running command are gone")


class TestOnAFleet:
    def test_submit_watch_show_result_and_runs(self, shell: Shell) -> None:
        url = shell.redis()
        shell.worker()
        plan = shell.write(TWO_STEPS)
        run_id = shell.run("submit", plan, "-i", "who=fleet", "--tag", "nightly", "--redis", url).out.strip()
        watched = shell.run("watch", run_id, "--redis", url)
        assert (watched.code, watched.err) == (0, "")
        assert watched.out.index("run_submitted") < watched.out.index("step_started keep")
        assert "said: hello fleet" in watched.out
        shown = shell.run("show", run_id, "--values", "-o", "json", "--redis", url).json
        assert shown["steps"]["greet"]["value"]["result"]["stdout"] == "hello fleet"
        result = shell.run("result", run_id, "-o", "json", "--redis", url)
        assert (result.code, result.json["outputs"]["said"]) == (0, "hello fleet")
        (listed,) = shell.run("runs", "--tag", "nightly", "-o", "json", "--redis", url).json
        assert (listed["run"], listed["state"]) == (run_id, "succeeded")

    def test_cancel(self, shell: Shell) -> None:
        url = shell.redis()
        shell.worker()
        run_id = shell.run("submit", shell.write(SLOW), "--redis", url).out.strip()
        wait_until_asleep(shell)
        assert shell.run("cancel", run_id, "--redis", url).out == f"{run_id}: cancelling\n"
        ended = shell.run("result", run_id, "--redis", url)
        assert ended.code == 1
        assert "cancelled" in ended.out
        wait_until(lambda: not asleep(shell), "the running command is gone")
        assert shell.run("cancel", run_id, "--redis", url).out == f"{run_id}: was cancelled already\n"

    def test_a_killed_worker_takes_its_commands_along(self, shell: Shell) -> None:
        url = shell.redis()
        worker = shell.worker()
        run_id = shell.run("submit", shell.write(SLOW), "--redis", url).out.strip()
        wait_until_asleep(shell)
        assert shell.run("cancel", run_id, "--redis", url).code == 0
        worker.kill()
        wait_until(lambda: not asleep(shell), "the running command is gone")

    def test_a_run_outlives_its_watcher(self, shell: Shell) -> None:
        url = shell.redis()
        shell.worker()
        started = shell.start("run", shell.write(HELD), "--redis", url)
        wait_until((shell.folder / "waiting").exists, "the first step runs")
        started.wait_for("step_started gate")
        wait_until_all_is_shown(url)
        started.send(signal.SIGINT)
        ended = started.end()
        assert ended.code == 130
        (advice,) = [line for line in ended.err.splitlines() if "goes on" in line]
        (shell.folder / "go").touch()
        rest = shell.run(*advice.partition("orchestrator ")[2].split(), "--redis", url)
        assert (rest.code, rest.err) == (0, "")
        assert "said: through" in rest.out
        assert "step_started gate" not in rest.out

    def test_an_idempotency_key_runs_once(self, shell: Shell) -> None:
        url = shell.redis()
        shell.worker()
        plan = shell.write("""\
            id: once
            steps:
              - {id: count, tool: filesystem, action: append, parameters: {path: count, content: "+"}}
        """)
        arguments = ("run", plan, "--idempotency-key", "monday", "-o", "-", "--redis", url)
        documents = [shell.run(*arguments).json for _ in range(2)]
        assert documents[0] == documents[1]
        assert (shell.folder / "count").read_text() == "+"
        other = shell.run(*arguments, "-i", "more=1")
        assert (other.code, other.out) == (2, "")
        assert "already stands for" in other.err


class TestRedisThatIsNotThere:
    @pytest.mark.parametrize("command", ["run", "submit"])
    def test_nobody_listens(self, shell: Shell, command: str) -> None:
        ended = shell.run(command, shell.write(TWO_STEPS), "--redis", "redis://:hunter2@127.0.0.1:1/0")
        self._assert_refused(ended.code, ended.said, ended.seconds)

    def test_nothing_is_heard(self, shell: Shell) -> None:
        with deaf_port() as port:
            ended = shell.run("run", shell.write(TWO_STEPS), "--redis", f"redis://:hunter2@127.0.0.1:{port}/0")
        self._assert_refused(ended.code, ended.said, ended.seconds)

    def _assert_refused(self, code: int, said: str, seconds: float) -> None:
        assert code == 3
        assert said.count("\n") == 1
        assert "redis://:***@127.0.0.1" in said
        assert "hunter2" not in said
        assert seconds < 60, "it does not hang"


class TestExample:
    @pytest.fixture
    def report(self) -> Iterator[Path]:
        """A report of this test's own: the example runs in the checkout itself."""
        path = ROOT / "outputs" / f"{uuid.uuid4().hex}.md"
        yield path
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def test_repo_report(self, shell: Shell, report: Path) -> None:
        relative = os.path.relpath(report, ROOT)
        ended = shell.run("run", "examples/repo_report.yaml", "-i", f"report={relative}", "-o", "-", cwd=ROOT)
        assert ended.code == 0, ended.said
        assert report.read_text().startswith("# ")
        document = ended.json
        steps = document["steps"]
        assert document["outputs"]["report"] == relative
        assert None not in document["outputs"].values()
        assert "skipped" in {step["status"] for step in steps.values()}
        assert len(document["execution_levels"][0]) > 1, "nothing fans out"
        joined = max(steps.values(), key=lambda step: len(step["dependencies"]))
        assert len(joined["dependencies"]) > 2, "nothing is fanned in"
        assert all(steps[name]["completed_at"] <= joined["started_at"] for name in joined["dependencies"])
        shell.assert_nothing_left()
