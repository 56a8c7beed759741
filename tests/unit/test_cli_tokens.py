"""Text of models on a terminal or in a pipe: raw for one step, by lines for several, and what is void is said."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from pathlib import Path

import pytest

from orchestrator_client.cli.show.tokens import JsonText, PlainText
from orchestrator_client.contract.event import Delta, Dropped, Written
from orchestrator_client.messages import Message
from tests.conftest import RedisServer, wait_until
from tests.unit.test_cli_runs import ENTRY, Fleet
from tests.unit.test_messages import Scene


def delta(text: str, step: str = "a", attempt: int = 1) -> Delta:
    return Delta(id="1-0/1-0", run="r", instance=step, attempt=attempt, seq=1, text=text)


def written(step: str = "a", text: str = "") -> Written:
    return Written(run="r", instance=step, attempt=1, text=text)


def shown(*messages: Message) -> str:
    stream = io.StringIO()
    with PlainText(stream) as display:
        for message in messages:
            display.show(message, "")
    return stream.getvalue()


def test_one_step_is_shown_as_it_writes() -> None:
    assert shown(delta("one"), delta(" two\n"), delta("three"), written()) == "one two\nthree\n"


def test_steps_one_after_the_other_each_begin_a_line() -> None:
    assert shown(delta("one"), written(), delta("two", "b"), written("b")) == "one\ntwo\n"


def test_steps_at_once_are_shown_by_lines_with_their_names() -> None:
    messages = (
        delta("one"),
        delta("x", "b"),
        delta(" more\nand"),
        delta("y\n", "b"),
        written(),
        delta("z", "b"),
        written("b"),
    )
    assert shown(*messages, delta("alone", "c")) == "one\na:  more\nb: xy\na: and\nb: z\nalone\n"


def test_what_is_void_is_said_on_a_line_of_its_own() -> None:
    dropped = Dropped(run="r", instance="a", attempt=1)
    assert shown(delta("one"), dropped, delta("two", attempt=2)) == (
        "one\n--- a: attempt 1 is void, it begins anew ---\ntwo\n"
    )


def test_text_that_was_not_streamed_is_shown_whole() -> None:
    assert shown(written(text="whole\nof it")) == "whole\nof it\n"
    assert shown(written()) == ""


def test_nothing_of_a_model_commands_the_terminal() -> None:
    assert shown(delta("a\x1b[31m\tb\r\n\u202e"), written()) == "a\\x1b[31m\tb\\r\n\\u202e\n"


def test_json_has_where_to_go_on_in_every_line() -> None:
    stream = io.StringIO()
    with JsonText(stream) as display:
        display.show(delta("one\n"), "1-0/1-0")
        display.show(written(), "2-0/1-0")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"type": "delta", "run": "r", "instance": "a", "attempt": 1, "seq": 1, "text": "one\n", "cursor": "1-0/1-0"},
        {"type": "written", "run": "r", "instance": "a", "attempt": 1, "text": "", "cursor": "2-0/1-0"},
    ]


def test_watch_shows_text_and_nothing_else_on_stdout(redis_server: RedisServer, tmp_path: Path) -> None:
    scene, out = Scene(redis_server.url), tmp_path / "out"
    with out.open("w") as stdout:
        command = [*ENTRY, "watch", scene.run.id, "--tokens", "--redis", redis_server.url]
        watching = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    scene.say("Rivers ")
    wait_until(lambda: out.read_text() == "Rivers ", "the first word is shown at once", seconds=60)
    scene.say("run."), scene.event("step_succeeded"), scene.close()
    _, err = watching.communicate(timeout=60)
    scene.client.close(), scene.redis.close()
    assert (watching.returncode, out.read_text()) == (0, "Rivers run.\n")
    assert "succeeded" in err


def test_watch_as_json_goes_on_behind_a_cursor(redis_server: RedisServer, tmp_path: Path) -> None:
    scene, fleet = Scene(redis_server.url), Fleet(redis_server.url, tmp_path)
    scene.say("a"), scene.say("b"), scene.event("step_succeeded"), scene.close()
    code, out, err = fleet.run("watch", scene.run.id, "--tokens", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err, [line["type"] for line in lines]) == (0, "", ["delta", "delta", "written"])
    again = fleet.run("watch", scene.run.id, "--tokens", "-o", "json", "--after", lines[0]["cursor"])[1]
    assert again == "".join(out.splitlines(keepends=True)[1:])
    assert fleet.run("watch", scene.run.id, "--tokens", "--after", "1-0")[0] == 2
    scene.client.close(), scene.redis.close()


def test_run_shows_text_and_writes_the_result_to_a_file(redis_server: RedisServer, tmp_path: Path) -> None:
    scene, fleet = Scene(redis_server.url), Fleet(redis_server.url, tmp_path)

    def end_the_other_run() -> None:
        runs = wait_until(lambda: scene.client.runs(pipeline="greet"), "the run is there")
        fleet.close(runs[0].run, "succeeded")

    ending = threading.Thread(target=end_the_other_run)
    ending.start()
    code, out, err = fleet.run("run", fleet.plan, "--tokens", "-o", tmp_path / "out.json")
    ending.join()
    assert (code, out) == (0, "")
    assert "succeeded" in err
    assert json.loads((tmp_path / "out.json").read_text())["status"] == "completed"
    scene.client.close(), scene.redis.close()


@pytest.mark.parametrize("words", [("run", "--json"), ("run", "--tokens", "-o", "-"), ("watch", "--json")])
def test_options_that_contradict_each_other(redis_server: RedisServer, tmp_path: Path, words: tuple[str, ...]) -> None:
    fleet = Fleet(redis_server.url, tmp_path)
    command, *options = words
    code, _, err = fleet.run(command, fleet.plan if command == "run" else "r", *options)
    assert code == 2
    assert "--tokens" in err
