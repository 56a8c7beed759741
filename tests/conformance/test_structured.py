"""How every provider asks for a reply that fits a JSON Schema, by its vendor's native way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.caller import SuiteCaller as Caller

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}

LOOSE: dict[str, dict[str, Any]] = {
    "open": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "optional property": {**CLOSED, "required": ["city"]},
    "free keys": {"type": "object", "additionalProperties": {"type": "number"}},
    "limits": {
        **CLOSED,
        "properties": {"city": {"type": "string", "minLength": 2, "maxLength": 40}, "people": {"minimum": 0}},
    },
    "unions": {**CLOSED, "properties": {"city": {"oneOf": [{"type": "string"}, {"type": "null"}]}, "people": {}}},
    "references": {**CLOSED, "properties": {"city": {"$ref": "#/$defs/c"}, "people": {}}, "$defs": {"c": CLOSED}},
}

TEXT = '{"city": "Köln", "people": 1087353}'


def properties(schema: Any) -> set[str]:
    return set(schema["properties"])


def test_the_schema_is_sent_and_the_text_is_json(call: Caller) -> None:
    call.server.script(call.adapter.text(TEXT))
    reply = call(schema=CLOSED)
    sent = call.adapter.sent(call.server.requests[0]).schema
    assert properties(sent) == {"city", "people"}
    assert sent["properties"]["people"]["type"] == "integer"
    assert set(sent["required"]) == {"city", "people"}
    assert json.loads(reply.text) == {"city": "Köln", "people": 1087353}
    assert (reply.finish_reason, reply.warnings) == ("stop", ())


@pytest.mark.parametrize("kind", list(LOOSE))
def test_a_schema_outside_a_vendors_subset_is_asked_for_all_the_same(call: Caller, kind: str) -> None:
    call.server.script(call.adapter.text(TEXT))
    reply = call(schema=LOOSE[kind])
    sent = call.adapter.sent(call.server.requests[0]).schema
    assert sent["type"] == "object"
    assert properties(LOOSE[kind]) <= properties(sent) if "properties" in LOOSE[kind] else True
    assert json.loads(reply.text) == {"city": "Köln", "people": 1087353}


def test_nothing_is_asked_for_without_a_schema(call: Caller) -> None:
    call()
    assert call.adapter.sent(call.server.requests[0]).schema is None


def test_the_schema_that_was_given_is_left_as_it_was(call: Caller) -> None:
    before = json.dumps(LOOSE["references"])
    call.server.script(call.adapter.text(TEXT))
    call(schema=LOOSE["references"])
    assert json.dumps(LOOSE["references"]) == before


def test_text_that_does_not_fit_is_for_the_caller_to_judge(call: Caller) -> None:
    call.server.script(call.adapter.text("Köln has a million people."))
    assert call(schema=CLOSED).text == "Köln has a million people."


def test_streamed(call: Caller) -> None:
    call.server.script(call.adapter.stream(TEXT[:9], TEXT[9:]))
    reply, pieces = call.streamed(schema=CLOSED)
    assert json.loads(reply.text) == {"city": "Köln", "people": 1087353}
    assert "".join(pieces) == reply.text
