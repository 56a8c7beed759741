"""The gate reads what others wrote: whatever that is, it is one of our messages, or refused with a reason."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import CONTENT_TYPE, SIGNATURE, Keyring, dumps, loads
from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.message import Hint, Message, close_message, start_message, step_message
from orchestrator_worker.transport.gate import Gate, Letter, Refused, opened

KEYS = Keyring(["first key of the fleet, 32 characters"])
RUN = "demo_1_abcdef01"
HINT = Hint(RUN, "a", 2, "tool", "tool · test", 30.0)


def envelope(message: Message, **fields: Any) -> dict[str, Any]:
    """A message as it lies in its queue."""
    info = {"exchange": "", "routing_key": message.queue}
    properties = {
        "delivery_tag": "t-1",
        "delivery_info": info,
        "delivery_mode": 2,
        "priority": 0,
        "body_encoding": None,
    }
    return {
        "body": message.body,
        "content-encoding": "utf-8",
        "content-type": CONTENT_TYPE,
        "headers": message.headers,
        "properties": properties,
        **fields,
    }


def raw(payload: object) -> bytes:
    return json.dumps(payload).encode()


def step(keys: Keyring = KEYS) -> dict[str, Any]:
    return envelope(step_message(HINT, keys))


def foreign(keys: Keyring = KEYS, **embed: Any) -> dict[str, Any]:
    """A run as Celery's stock application writes it."""
    body = [[], {"plan": '{"id": "p"}', "inputs": "{}"}, {"callbacks": None, "errbacks": None, "chain": None, **embed}]
    headers = {"task": names.RUN_TASK, "id": "of-celery", "eta": None, "expires": None, "timelimit": [None, None]}
    headers |= {"retries": 0, "group": None, **keys.sign_run('{"id": "p"}', "{}")}
    payload = envelope(Message(headers, dumps(body), "control"))
    payload["body"] = base64.b64encode(payload["body"].encode()).decode()
    payload["properties"]["body_encoding"] = "base64"
    return payload | {"content-type": "application/json"}


@pytest.mark.parametrize("keys", [KEYS, Keyring()], ids=["signed", "unsigned"])
@pytest.mark.parametrize("make", [start_message, close_message])
def test_messages_about_runs_pass(make: Callable[[str, Keyring], Message], keys: Keyring) -> None:
    assert loads(opened("control", raw(envelope(make(RUN, keys))), keys)["body"])[0] == [RUN]


@pytest.mark.parametrize("keys", [KEYS, Keyring()], ids=["signed", "unsigned"])
def test_a_steps_message_passes(keys: Keyring) -> None:
    assert opened("tool", raw(step(keys)), keys)["headers"]["id"] == f"{RUN}:a"


def test_a_run_in_somebody_elses_canvas_passes_as_plain_json() -> None:
    payload = opened("control", raw(foreign(chord={"task": "theirs"})), KEYS)
    assert payload["content-type"] == CONTENT_TYPE
    assert payload["properties"]["body_encoding"] is None
    assert loads(payload["body"])[1]["plan"] == '{"id": "p"}'


def test_hooks_of_kombu_are_plain_data() -> None:
    hooked = {"__type__": "datetime", "__value__": "boom"}
    body = opened("control", raw(foreign(callbacks=[hooked])), KEYS)["body"]
    assert loads(body)[2]["callbacks"] == [hooked]


def changed(part: str, **fields: Any) -> dict[str, Any]:
    payload = step()
    payload[part] = {**payload[part], **fields}
    return payload


FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "another run": ("tool", step() | {"body": step()["body"].replace(RUN, "demo_1_abcdef02")}),
    "another step": ("tool", step() | {"body": step()["body"].replace('"a"', '"b"')}),
    "another attempt": ("tool", changed("headers", retries=7)),
    "another id": ("tool", changed("headers", id=f"{RUN}:b")),
    "another group": ("tool", changed("headers", group="demo_1_abcdef02")),
    "no time limit": ("tool", changed("headers", timelimit=[None, None])),
    "another task": ("tool", changed("headers", task=names.CLOSE_TASK)),
    "another queue": ("model.openai", step()),
    "a made-up signature": ("tool", changed("headers", **{SIGNATURE: "12345678.x"})),
    "a signature in no encoding": ("tool", changed("headers", **{SIGNATURE: f"{KEYS._first}.\ud800"})),
    "a strange signature": ("tool", changed("headers", **{SIGNATURE: {"a": 1}})),
    "another fleet's key": ("tool", step(Keyring(["k" * 32]))),
    "another plan": ("control", foreign() | {"body": base64.b64encode(b'[[],{"plan":"{}"},{}]').decode()}),
    "a foreign run unsigned": ("control", foreign(Keyring())),
    "unsigned": ("tool", step(Keyring())),
}


@pytest.mark.parametrize(("queue", "payload"), FORGED.values(), ids=FORGED)
def test_what_the_fleet_has_not_sent_is_refused(queue: str, payload: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="sign"):
        opened(queue, raw(payload), KEYS)


MALFORMED: dict[str, tuple[object, str]] = {
    "not JSON": (b"boom", "not JSON"),
    "not UTF-8": (b"\xff\xfe{", "not JSON"),
    "empty": (b"", "not JSON"),
    "too deep": (b"[" * 100_000, "not JSON"),
    "a list": ([], "no mapping"),
    "no headers": ({k: v for k, v in step().items() if k != "headers"}, "headers is no mapping"),
    "no properties": ({k: v for k, v in step().items() if k != "properties"}, "properties is no mapping"),
    "no id": (changed("headers", id=None), "no id"),
    "no task": (changed("headers", task=None), "no task"),
    "no delivery tag": (changed("properties", delivery_tag=None), "no delivery_tag"),
    "unknown task": (changed("headers", task="orchestrator.newer"), "knows no task"),
    "a task name of 1 MB": (changed("headers", task="x" * 1_000_000), "its task is"),
    "negative retries": (changed("headers", retries=-1), "retries is -1"),
    "retries of text": (changed("headers", retries="many"), "retries"),
    "a bad eta": (changed("headers", eta="tomorrow"), "eta"),
    "an eta": (changed("headers", eta="2026-01-01T00:00:00+00:00"), "sign|eta"),
    "bad limits": (changed("headers", timelimit=[1, 2, 3]), "timelimit"),
    "a body that is not base64": (
        changed("properties", body_encoding="base64") | {"body": "%%%"},
        "not base64",
    ),
    "an unknown body encoding": (changed("properties", body_encoding="rot13"), "body_encoding"),
    "a body of no text": (step() | {"body": 7}, "no text"),
    "a body of no JSON": (step() | {"body": "boom"}, "its body is not JSON"),
    "a body of the wrong shape": (step() | {"body": "{}"}, "its body is not arguments"),
    "pickle": (step() | {"content-type": "application/x-python-serialize"}, "content type"),
    "kombu's JSON": (step() | {"content-type": "application/json"}, "content type"),
    "another encoding": (step() | {"content-encoding": "utf-16"}, "content encoding"),
    "compressed": (changed("headers", compression="application/x-gzip"), "compression"),
    "arguments that do not fit": (envelope(Message(step()["headers"], dumps([["r", "a"], {}, {}]), "tool")), "sign"),
}


@pytest.mark.parametrize(("payload", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_garbage_is_refused_with_its_reason(payload: object, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        opened("tool", payload if isinstance(payload, bytes) else raw(payload), KEYS)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("field", ["id", "group", "retries"])
def test_without_a_key_a_steps_message_must_still_fit_itself(field: str) -> None:
    payload = step(Keyring())
    payload["headers"][field] = 5 if field == "retries" else "other"
    with pytest.raises(Refused, match="do not fit"):
        opened("tool", raw(payload), Keyring())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(raw))
def test_no_bytes_do_more_than_be_refused(garbage: bytes) -> None:
    with pytest.raises(Refused):
        opened("tool", garbage, Keyring())


@given(
    st.sampled_from(["headers", "properties", ""]),
    st.sampled_from([*step()["headers"], *step()["properties"], *step(), "eta", "expires", "stamps"]),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.none()),
)
def test_one_field_of_any_value_passes_whole_or_is_refused(part: str, name: str, value: object) -> None:
    payload = step()
    (payload[part] if part else payload)[name] = value
    with contextlib.suppress(Refused):
        assert loads(opened("tool", raw(payload), KEYS)["body"])[0] == [RUN, "a", 2]


def test_keys_rotate() -> None:
    old, new = "o" * 32, "n" * 32
    both = Keyring([new, old])
    opened("tool", raw(step(Keyring([old]))), both)
    opened("tool", raw(step(both)), Keyring([new]))
    with pytest.raises(Refused):
        opened("tool", raw(step(both)), Keyring([old]))


def test_a_short_key_is_refused_and_no_key_is_shown() -> None:
    with pytest.raises(ConfigInvalid, match="at least 32 characters") as caught:
        Keyring(["secret"])
    assert "secret" not in str(caught.value)
    assert "32 characters" not in repr(KEYS)


def test_keys_come_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / "key"
    file.write_text("f" * 32 + "," + "g" * 32 + "\n")
    monkeypatch.setenv("ORCHESTRATOR_FLEET_KEY_FILE", str(file))
    assert Keyring.of("redis://x/0").has_signed_run(Keyring(["g" * 32]).sign_run("a", "b"), "a", "b")
    monkeypatch.setenv("ORCHESTRATOR_FLEET_KEY", "e" * 32)
    assert not Keyring.of("redis://x/0").has_signed_run(Keyring(["g" * 32]).sign_run("a", "b"), "a", "b")


def test_what_is_refused_is_buried_and_a_burial_that_fails_ends_nothing() -> None:
    gate, letters = Gate(KEYS), list[Letter]()
    gate.bury = letters.append
    assert gate.open("tool", b"boom") is None
    assert [(letter.queue, letter.raw) for letter in letters] == [("tool", b"boom")]

    def fail(_: Letter) -> None:
        raise OSError("away")

    gate.bury = fail
    assert gate.open("tool", b"boom") is None
