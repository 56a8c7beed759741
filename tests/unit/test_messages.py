"""Text of models: in order, void when its attempt is, whole when its step is, from any point; on a real Redis."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from orchestrator_client import Client
from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid, RunNotFound
from orchestrator_client.contract.event import Delta, Dropped, Written
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.messages import Cursor, Message, text_of_value
from tests.conftest import RedisServer, wait_until

PLAN = Plan(
    id="tell",
    steps=(
        Step(id="draft", kind=StepKind.MODEL, uses="generate", parameters={"prompt": "hi"}),
        Step(id="other", kind=StepKind.MODEL, uses="generate", parameters={"prompt": "hi"}),
        Step(id="keep", kind=StepKind.TOOL, uses="terminal.execute", parameters={"command": "true"}),
    ),
)


class Scene:
    """A run whose worker is the test."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)
        self.run: Run = self.client.submit(PLAN)
        self.redis = redis.Redis.from_url(url)
        self.keys = names.RunKeys(self.run.id)
        self._seq = 0

    def say(self, text: str, step: str = "draft", attempt: int = 1) -> None:
        """A model writes."""
        self._seq += 1
        fields = {"instance": step, "attempt": attempt, "seq": self._seq, "text": text}
        self.redis.xadd(self.keys.deltas, fields)  # type: ignore[arg-type]
        self.redis.expire(self.keys.deltas, 60)

    def event(self, kind: str, step: str = "draft", attempt: int = 1, **data: Any) -> None:
        fields = {"kind": kind, "at": 1, "instance": step, "attempt": attempt, "data": json.dumps(data)}
        self.redis.xadd(self.keys.events, fields)  # type: ignore[arg-type]

    def leave(self, value: Any, step: str = "draft") -> None:
        """A step leaves a value."""
        self.redis.hset(self.keys.values, step, json.dumps(value))
        self.redis.expire(self.keys.values, 60)

    def close(self) -> None:
        self.redis.hset(self.keys.record, mapping={"state": "succeeded", "started_ms": 1, "ended_ms": 2})
        self.event("run_closed", "", 0, state="succeeded")

    def read(self, after: str = "0") -> list[Message]:
        return list(self.run.stream(after, timeout=60, mode="messages"))


@pytest.fixture
def scene(redis_server: RedisServer) -> Iterator[Scene]:
    scene = Scene(redis_server.url)
    yield scene
    scene.client.close()
    scene.redis.close()


def told(messages: list[Message]) -> list[str]:
    """Messages in short: `draft/1 text`, `draft/1 dropped`, `draft/1 written`."""
    return [
        f"{m.instance}/{m.attempt} {m.text if isinstance(m, Delta) else type(m).__name__.lower()}" for m in messages
    ]


def test_text_comes_in_order_and_is_whole_at_the_end(scene: Scene) -> None:
    scene.say("a"), scene.say("x", "other"), scene.say("b")
    scene.event("step_succeeded"), scene.event("step_succeeded", "other"), scene.event("step_succeeded", "keep")
    scene.close()
    assert told(scene.read()) == ["draft/1 a", "other/1 x", "draft/1 b", "draft/1 written", "other/1 written"]


def test_text_of_an_attempt_that_died_is_void_once_and_before_the_next(scene: Scene) -> None:
    scene.say("a"), scene.event("step_parked", reason="its worker died")
    scene.say("b", attempt=2), scene.event("step_succeeded", attempt=2)
    scene.close()
    assert told(scene.read()) == ["draft/1 a", "draft/1 dropped", "draft/2 b", "draft/2 written"]


def test_text_is_void_when_its_step_fails_or_is_cancelled(scene: Scene) -> None:
    scene.say("a"), scene.event("step_failed")
    scene.say("x", "other"), scene.event("step_cancelled", "other")
    scene.close()
    assert told(scene.read()) == ["draft/1 a", "other/1 x", "draft/1 dropped", "other/1 dropped"]


def test_a_worker_that_was_given_up_is_not_heard_any_more(scene: Scene) -> None:
    scene.say("a"), scene.say("b", attempt=2), scene.say("late")
    scene.event("step_succeeded", attempt=2)
    scene.close()
    assert told(scene.read()) == ["draft/1 a", "draft/1 dropped", "draft/2 b", "draft/2 written"]


def test_a_call_that_waits_again_has_text_of_its_own_attempt_still_to_come(scene: Scene) -> None:
    messages = scene.run.stream(timeout=60, mode="messages")
    scene.event("step_parked", attempt=2, reason="limit")
    scene.say("a", "other")
    assert told([next(messages)]) == ["other/1 a"]
    scene.say("b", attempt=2), scene.event("step_succeeded", attempt=2)
    scene.close()
    assert told(list(messages))[:2] == ["draft/2 b", "draft/2 written"]


@pytest.mark.parametrize(("value", "text"), [({"result": "whole"}, "whole"), ({"result": {"a": 1}}, '{"a": 1}')])
def test_a_step_that_was_not_streamed_is_handed_on_whole(scene: Scene, value: Any, text: str) -> None:
    scene.leave(value)
    scene.event("step_succeeded")
    scene.close()
    assert scene.read() == [Written(run=scene.run.id, instance="draft", attempt=1, text=text)]


def test_all_text_of_an_attempt_comes_before_its_end_however_much_it_is(scene: Scene) -> None:
    for number in range(2_500):
        scene.say(f"{number} ")
    scene.event("step_succeeded")
    scene.close()
    messages = scene.read()
    assert "".join(m.text for m in messages if isinstance(m, Delta)) == "".join(f"{n} " for n in range(2_500))
    assert isinstance(messages[-1], Written)


def test_a_reader_that_is_started_again_anywhere_misses_nothing(scene: Scene) -> None:
    scene.say("a"), scene.say("x", "other"), scene.say("b", attempt=2), scene.say("c", attempt=2)
    scene.event("step_parked", reason="its worker died"), scene.event("step_succeeded", attempt=2)
    scene.leave({"result": "x"}, "other"), scene.event("step_failed", "other")
    scene.close()
    messages = scene.run.stream(timeout=60, mode="messages")
    read = [(message, messages.cursor) for message in messages]
    whole = told([message for message, _ in read])
    for at, (message, cursor) in enumerate(read):
        rest = told(scene.read(cursor))
        # What is void is void twice; all else comes once.
        assert rest in (whole[at + 1 :], whole[at:]), cursor
        assert rest == whole[at + 1 :] or isinstance(message, Dropped)


def test_the_id_of_a_delta_is_where_to_go_on(scene: Scene) -> None:
    scene.say("a"), scene.say("b"), scene.event("step_succeeded")
    scene.close()
    first = scene.read()[0]
    assert isinstance(first, Delta)
    assert told(scene.read(first.id)) == ["draft/1 b", "draft/1 written"]


def test_asking_for_text_has_it_streamed(scene: Scene) -> None:
    assert scene.redis.hget(scene.keys.record, "deltas") == b""
    scene.close()
    scene.read()
    assert scene.redis.hget(scene.keys.record, "deltas") == b"1"


def test_text_may_be_asked_for_with_the_submission(scene: Scene) -> None:
    run = scene.client.submit(PLAN, stream_text=True)
    assert scene.redis.hget(names.RunKeys(run.id).record, "deltas") == b"1"


def test_text_of_a_run_that_is_not_there(scene: Scene) -> None:
    with pytest.raises(RunNotFound):
        next(scene.client._run("nope").stream(mode="messages"))
    assert not scene.redis.exists("orc:{nope}")


def test_the_first_text_is_there_at_once(scene: Scene) -> None:
    messages, took = scene.run.stream(timeout=60, mode="messages"), list[float]()
    scene.say("warm"), next(messages)
    for _ in range(20):
        said = threading.Event()

        def speak(said: threading.Event = said) -> None:
            wait_until(lambda: _blocked(scene), "the reader waits")
            said.at = time.perf_counter()  # type: ignore[attr-defined]
            scene.say("word")

        speaker = threading.Thread(target=speak)
        speaker.start()
        next(messages)
        took.append(time.perf_counter() - said.at)  # type: ignore[attr-defined]
        speaker.join()
    # The least of them: a loaded machine delays one or the other, but what was built in would delay all.
    assert min(took) < 0.015


def _blocked(scene: Scene) -> bool:
    return int(scene.redis.info("clients")["blocked_clients"]) > 0


def test_a_time_limit_leaves_the_run_alone(scene: Scene) -> None:
    scene.say("a")
    messages = scene.run.stream(timeout=60, mode="messages")
    assert told([next(messages)]) == ["draft/1 a"]
    with pytest.raises(TimeoutError, match="goes on"):
        next(scene.run.stream(messages.cursor, timeout=0.2, mode="messages"))


def test_a_run_whose_last_event_is_gone_ends_all_the_same(scene: Scene) -> None:
    scene.say("a"), scene.close()
    scene.redis.xtrim(scene.keys.events, maxlen=0, approximate=False)
    assert told(scene.read()) == ["draft/1 a"]


@pytest.mark.parametrize("text", ["x", "1-0", "1-0/", "a/b", "1-0/2-x"])
def test_what_is_no_position_is_refused(scene: Scene, text: str) -> None:
    with pytest.raises(InputsInvalid, match="no position"):
        scene.run.stream(text, mode="messages")


def test_a_position_is_its_text() -> None:
    assert Cursor.parse("0") == Cursor()
    assert str(Cursor.parse("17-2/0")) == "17-2/0"


def test_text_of_values() -> None:
    assert [text_of_value(value) for value in (None, {}, {"result": None}, "a", 3)] == ["", "", "", "a", "3"]
