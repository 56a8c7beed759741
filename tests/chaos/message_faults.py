"""Faults of messages, and of what a model's server sends: doubled, dropped, shuffled, malformed, cut off."""

from __future__ import annotations

import json
import time
from collections import Counter

import psutil

from orchestrator_client.contract import names
from tests.chaos.scene import Scene
from tests.chaos.workloads import mixed
from tests.conformance.model_server import stream
from tests.conftest import wait_until

GARBAGE = (
    b"not JSON at all",
    b"{}",
    b"[]",
    b'{"body": "%%% not base64", "headers": {}, "properties": {"body_encoding": "base64"}}',
    b"\x00\xff\xfe",
    b'{"body": "W10=", "content-encoding": "utf-8", "content-type": "application/x-python-serialize", "headers":'
    b' {"task": "orchestrator.step", "id": "x"}, "properties": {"body_encoding": "base64", "delivery_tag": "x",'
    b' "delivery_info": {"exchange": "", "routing_key": "tool"}}}',
    b"x" * 1_000_000,
)


def doubled(scene: Scene) -> str:
    """F44, F45: each message that waits is there once more, at once and again after the run."""
    scene.wait_for_random_point(6)
    raw = scene.wait_in_the_middle(lambda: scene.redis.lrange(names.TOOL_QUEUE, 0, -1), "messages wait")
    scene.redis.rpush(names.TOOL_QUEUE, *raw)
    scene.wait_for_ends()
    scene.redis.rpush(names.TOOL_QUEUE, *raw)
    wait_until(lambda: scene.redis.llen(names.TOOL_QUEUE) == 0, "the late copies are taken")
    time.sleep(0.5)
    # Not any line that is new: an attempt that was believed lost may still be at it when its run has ended.
    begun = Counter((line.key, line.attempt) for line in scene.effects() if line.begins)
    again = [attempt for attempt, count in begun.items() if count > 1]
    assert not again, f"copies of messages did something: {again}"
    return f"{len(raw)} messages came twice, and once more when their run had ended"


def shuffled(scene: Scene) -> str:
    """F46: the queue is turned round and mixed."""
    scene.wait_for_random_point(6)
    raw = scene.wait_in_the_middle(lambda: scene.redis.lrange(names.TOOL_QUEUE, 0, -1), "messages wait")
    scene.chance.shuffle(raw)
    pipe = scene.redis.pipeline()
    for message in raw:
        pipe.lrem(names.TOOL_QUEUE, 1, message)
    moved = [message for message, found in zip(raw, pipe.execute(), strict=True) if found]
    scene.redis.lpush(names.TOOL_QUEUE, *moved)
    return f"{len(moved)} messages changed their order"


def dropped(scene: Scene) -> str:
    """F47."""
    scene.wait_for_random_point(6)
    count = scene.chance.randint(1, 5)
    lost = scene.wait_in_the_middle(lambda: scene.redis.rpop(names.TOOL_QUEUE, count), "messages wait")
    return f"{len(lost)} messages were dropped"


def malformed(scene: Scene) -> str:
    """F49, F50: what no worker can read, and a task that it does not know."""
    scene.wait_for_random_point(6)
    real = scene.wait_in_the_middle(lambda: scene.redis.lindex(names.TOOL_QUEUE, 0), "a message waits")
    unknown = json.loads(real)
    unknown["headers"]["task"] = "orchestrator.newer_step"
    unknown["headers"]["id"] = unknown["properties"]["correlation_id"] = "unknown"
    # A supervisor would hide that a message has ended its worker.
    before = [each for w in scene.alive() for each in psutil.Process(w.process.pid).children()]
    known = [json.dumps(unknown).encode(), *GARBAGE]
    for queue in (names.TOOL_QUEUE, names.CONTROL_QUEUE):
        scene.redis.rpush(queue, *known)
    queues = (names.TOOL_QUEUE, names.CONTROL_QUEUE)
    wait_until(lambda: not any(scene.redis.llen(queue) for queue in queues), "all messages are taken", 60)
    ended = [worker for worker in before if not worker.is_running()]
    assert not ended, f"messages ended {len(ended)} of {len(before)} workers"
    return f"{2 * len(known)} messages that nobody can read"


def truncated_stream(scene: Scene) -> str:
    """F61: the model's answer ends cleanly in the middle, and says of no end."""
    scene.serve_models()
    half = stream("half ", "a ", "sentence", fault="ends")
    scene.models.script(half, half)
    run = scene.client.submit(mixed(), stream_text=True)
    scene.runs.append(run)
    scene.meant_to_fail.add("fails")
    run.wait(60)
    draft = run.document().steps["draft"]
    assert draft.retries >= 1, f"half an answer was taken for a whole one: {draft.value}"
    assert "half a sentence" not in str(draft.value)
    return f"two answers were cut off, of {len(scene.models.requests)}"
