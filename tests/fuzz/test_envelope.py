"""What lies in a queue, whoever wrote it: opening gives one of our messages or the one error, in bounded memory."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from orchestrator_client.contract.envelope import SIGNATURE
from orchestrator_client.contract.message import close_message, start_message
from orchestrator_worker.transport.gate import Refused, opened
from tests.fuzz import fuzzed
from tests.fuzz.fragments import json_values
from tests.unit.test_gate import KEYS, RUN, envelope, foreign, raw, step

Path = tuple[str | int, ...]

GENUINE: dict[str, tuple[str, dict[str, Any]]] = {
    "a step": ("tool", step()),
    "a start": ("control", envelope(start_message(RUN, KEYS))),
    "an end": ("control", envelope(close_message(RUN, KEYS))),
    "somebody else's run": ("control", foreign(chord={"task": "theirs"}, callbacks=[{"task": "theirs"}])),
}
WRITTEN = {name: raw(payload) for name, (_, payload) in GENUINE.items()}

_NAMES = {(name,) for name in ("task", "id", "group", "group_index", "retries", "timelimit")}

MOST_BYTES = 64
"""Of memory that a byte of a message may cost: a list of nothing takes 56 and a comma."""


def places(value: Any, at: Path = ()) -> list[Path]:
    """Every place in a message, from the whole of it down to each text and number."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inside for place in places(each, (*at, key)))]


PLACES = {name: places(payload) for name, (_, payload) in GENUINE.items()}


def put(payload: Any, place: Path, value: Any) -> Any:
    """The message with another value in this place."""
    if not place:
        return value
    changed = copy.deepcopy(payload)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed


SIGNED = {
    name: [place for place in found if place == ("body",) or (place[:1] == ("headers",) and place[1:2] in _NAMES)]
    for name, found in PLACES.items()
    if name != "somebody else's run"
}
"""Places of our own messages that the signature is over."""


def what_acts(queue: str, payload: dict[str, Any]) -> tuple[Any, ...]:
    """All of a message by which a worker does something."""
    headers = payload["headers"]
    signed = ("task", "id", "group", "group_index", "retries", "timelimit")
    body = json.loads(payload["body"])
    if body[1]:  # of somebody else's run, what is to follow is theirs
        return "run", body[1]
    return (queue, *(headers.get(name) for name in signed), body)


ACTS = {name: what_acts(queue, opened(queue, WRITTEN[name], KEYS)) for name, (queue, _) in GENUINE.items()}


def judge(queue: str, written: bytes) -> None:
    """It is refused in words that can be kept, or asks for nothing that the fleet has not asked for."""
    try:
        taken = opened(queue, written, KEYS)
    except Refused as refused:
        assert 0 < len(str(refused).encode()) < 1000  # noqa: PT017 - it may also be taken
    else:
        assert what_acts(queue, taken) in ACTS.values()


kinds = st.sampled_from(sorted(GENUINE))
queues = st.sampled_from(["tool", "control", "model.openai"])
surrogates = st.sampled_from(["\ud800", "a\udfff", "\x00", "\x1b[31m"])


@fuzzed
@given(queues, st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode), json_values.map(raw)))
def test_any_bytes_are_opened_or_refused(queue: str, written: bytes) -> None:
    judge(queue, written)


@fuzzed
@given(kinds, queues, st.data())
def test_a_message_with_another_value_somewhere_is_refused_or_the_same(kind: str, queue: str, data: Any) -> None:
    place = data.draw(st.sampled_from(PLACES[kind]))
    value = data.draw(st.one_of(json_values, surrogates, st.just(GENUINE[kind][1]["body"])))
    judge(queue, raw(put(GENUINE[kind][1], place, value)))


@fuzzed
@given(kinds, st.data())
def test_a_message_cut_or_with_a_bit_turned_is_refused_or_the_same(kind: str, data: Any) -> None:
    queue, written = GENUINE[kind][0], WRITTEN[kind]
    at = data.draw(st.integers(0, len(written) - 1))
    turned = written[at] ^ 1 << data.draw(st.integers(0, 7))
    judge(
        queue,
        data.draw(st.sampled_from([written[:at], written[at:], written[:at] + bytes([turned]) + written[at + 1 :]])),
    )


@fuzzed
@given(st.sampled_from(sorted(SIGNED)), st.data())
def test_a_signed_part_that_is_changed_is_never_taken(kind: str, data: Any) -> None:
    queue, payload = GENUINE[kind]
    changed = put(payload, data.draw(st.sampled_from(SIGNED[kind])), data.draw(st.one_of(json_values, surrogates)))
    assume(changed != payload)
    with pytest.raises(Refused):
        opened(queue, raw(changed), KEYS)


@fuzzed
@given(st.integers(0, 60), st.text(st.characters(), max_size=60))
@example(9, "\ud800")
def test_a_signature_that_is_changed_is_never_taken(at: int, text: str) -> None:
    queue, payload = GENUINE["a step"]
    signature = payload["headers"][SIGNATURE]
    changed = signature[:at] + text + signature[at:]
    for made_up in {changed, text, f"{signature.partition('.')[0]}.{text}", signature[:at]} - {signature}:
        with pytest.raises(Refused, match="sign"):
            opened(queue, raw(put(payload, ("headers", SIGNATURE), made_up)), KEYS)


@pytest.mark.parametrize("piece", [b"[", b"[],", b"{},", b'{"a":', b'"",', b"1,", b"\x00", b'{"body":"'])
@pytest.mark.parametrize("around", [b"[%s]", b'{"headers":{"origin":[%s]}}', b'{"body":[%s]}'])
def test_what_is_large_takes_memory_by_its_size_alone(piece: bytes, around: bytes) -> None:
    written = around.replace(b"%s", (piece * (200_000 // len(piece))).rstrip(b","))
    tracemalloc.start()
    try:
        judge("tool", written)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES * len(written)
