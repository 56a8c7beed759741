"""How every provider offers tools, reads what the model asks for, and gives back what they returned."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_worker.providers.base import Message, ToolCall, ToolOffer, ToolReturn
from tests.conformance.caller import SuiteCaller as Caller

WEATHER = ToolOffer(
    "get_weather",
    "Weather of a city, now.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
CLOCK = ToolOffer("clock", "The time.", {"type": "object", "properties": {}})

KOELN: tuple[str, str, dict[str, Any]] = ("call_a", "get_weather", {"city": "Köln", "days": 2})
ROMA: tuple[str, str, dict[str, Any]] = ("call_b", "get_weather", {"city": "Roma", "days": [1, {"x": None}]})


class TestOffer:
    def test_name_description_and_parameters(self, call: Caller) -> None:
        call(tools=(WEATHER, CLOCK))
        weather, clock = call.adapter.sent(call.server.requests[0]).tools
        assert weather[:2] == ("get_weather", "Weather of a city, now.")
        assert weather[2]["properties"]["city"]["type"] == "string"
        assert "city" in weather[2]["required"]
        assert clock[:2] == ("clock", "The time.")

    @pytest.mark.parametrize("choice", ["none", "required", "clock"])
    def test_choice(self, call: Caller, choice: str) -> None:
        call(tools=(WEATHER, CLOCK), tool_choice=choice)
        assert call.adapter.sent(call.server.requests[0]).tool_choice == choice

    def test_the_choice_is_the_models_by_default(self, call: Caller) -> None:
        call(tools=(WEATHER,))
        assert call.adapter.sent(call.server.requests[0]).tool_choice in (None, "auto")

    def test_nothing_is_offered_where_nothing_is(self, call: Caller) -> None:
        call()
        sent = call.adapter.sent(call.server.requests[0])
        assert (sent.tools, sent.tool_choice) == ([], None)


class TestCalls:
    def test_arguments_are_parsed(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(KOELN))
        reply = call(tools=(WEATHER,))
        [asked] = reply.calls
        assert (asked.name, asked.arguments, asked.problem) == (KOELN[1], KOELN[2], "")
        assert asked.id
        assert (reply.finish_reason, reply.text, reply.warnings) == ("tools", "", ())

    def test_several_at_once_keep_their_order_and_are_told_apart(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(KOELN, ROMA, text="I will look."))
        reply = call(tools=(WEATHER,))
        assert [asked.arguments for asked in reply.calls] == [KOELN[2], ROMA[2]]
        assert len({asked.id for asked in reply.calls}) == 2
        assert (reply.finish_reason, reply.text) == ("tools", "I will look.")

    def test_a_tool_that_takes_nothing(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(("call_c", "clock", {})))
        assert [(asked.name, asked.arguments) for asked in call(tools=(CLOCK,)).calls] == [("clock", {})]

    def test_half_a_surrogate_pair_is_replaced(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(("call_d", "clock", {"zone": "a\ud83d"})))
        reply = call(tools=(CLOCK,))
        assert reply.calls[0].arguments == {"zone": "a?"}
        assert json.dumps(reply.native, ensure_ascii=False).encode(), "what goes back can be stored and sent"

    @pytest.mark.parametrize("raw", ['{"city": "Kö', "[1, 2]", '"Köln"', "city=Köln", '{"city": NaN}'])
    def test_arguments_that_cannot_be_read_are_a_problem(self, call: Caller, raw: str) -> None:
        answer = call.adapter.broken_call("call_a", "get_weather", raw)
        if answer is None:
            pytest.skip(f"{call.adapter.name}'s arguments are JSON on the wire")
        call.server.script(answer)
        reply = call(tools=(WEATHER,))
        [asked] = reply.calls
        assert (asked.name, asked.arguments) == ("get_weather", {})
        assert asked.problem
        assert reply.finish_reason == "tools"

    def test_usage_comes_with_them(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(KOELN, input_tokens=120, output_tokens=30))
        usage = call(tools=(WEATHER,)).usage
        assert (usage.input_tokens, usage.output_tokens) == (120, 30)

    def test_none_were_asked_for(self, call: Caller) -> None:
        call.server.script(call.adapter.text("No need."))
        reply = call(tools=(WEATHER,))
        assert (reply.calls, reply.finish_reason, reply.text) == ((), "stop", "No need.")


def conversation(call: Caller, *, failed: bool = False, native: Any = None) -> tuple[Message, ...]:
    asked = (ToolCall("call_a", "get_weather", {"city": "Köln"}), ToolCall("call_b", "clock", {}))
    given = (ToolReturn("call_a", "get_weather", "rain", failed), ToolReturn("call_b", "clock", '{"hour": 12}'))
    return (
        Message.of("user", "What weather at what time?"),
        Message("assistant", ("I look.",), calls=asked, native=native),
        Message("tool", returns=given),
    )


class TestReturns:
    @pytest.mark.parametrize("failed", [False, True])
    def test_go_back_with_the_calls_that_they_answer(self, call: Caller, failed: bool) -> None:
        call.server.script(call.adapter.text("Rain at noon."))
        assert call(messages=conversation(call, failed=failed), tools=(WEATHER, CLOCK)).text == "Rain at noon."
        sent = call.adapter.sent(call.server.requests[0])
        assert [(name, arguments) for _, name, arguments in sent.calls] == [
            ("get_weather", {"city": "Köln"}),
            ("clock", {}),
        ]
        [rain, noon] = sent.returns
        assert "rain" in str(rain[1])
        assert "12" in str(noon[1])
        assert (rain[2], noon[2]) == (failed, False)
        assert [id for id, _, _ in sent.calls] == [id for id, _, _ in sent.returns]
        assert ("assistant", "I look.") in sent.messages

    def test_a_models_own_words_come_back_unchanged(self, call: Caller) -> None:
        call.server.script(call.adapter.calls(KOELN, text="I look."), call.adapter.text("Rain."))
        first = call(tools=(WEATHER,))
        asked = Message("assistant", (first.text,), calls=first.calls, native=first.native)
        answered = Message("tool", returns=tuple(ToolReturn(each.id, each.name, "rain") for each in first.calls))
        call(messages=(Message.of("user", "Weather?"), asked, answered), tools=(WEATHER,))
        sent = call.adapter.sent(call.server.requests[1])
        assert [(name, arguments) for _, name, arguments in sent.calls] == [KOELN[1:]]
        assert [id for id, _, _ in sent.calls] == [id for id, _, _ in sent.returns]

    @pytest.mark.parametrize("native", ["a text", 3, {"of": "another"}, [{"type": "of another"}], []])
    def test_anothers_words_are_said_anew(self, call: Caller, native: Any) -> None:
        call.server.script(call.adapter.text("Rain."))
        call(messages=conversation(call, native=native), tools=(WEATHER, CLOCK))
        sent = call.adapter.sent(call.server.requests[0])
        assert [name for _, name, _ in sent.calls] == ["get_weather", "clock"]


class TestStreamed:
    def test_calls_come_whole(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("I ", "look.", calls=(KOELN, ROMA), input_tokens=50, output_tokens=20))
        reply, pieces = call.streamed(tools=(WEATHER,))
        assert [(asked.name, asked.arguments) for asked in reply.calls] == [KOELN[1:], ROMA[1:]]
        assert (reply.finish_reason, reply.text, "".join(pieces)) == ("tools", "I look.", "I look.")
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (50, 20)

    def test_is_the_same_reply(self, call: Caller) -> None:
        call.server.script(
            call.adapter.calls(KOELN, ROMA, text="I look."), call.adapter.stream("I ", "look.", calls=(KOELN, ROMA))
        )
        whole = call(tools=(WEATHER,))
        streamed, _ = call.streamed(tools=(WEATHER,))
        for field in ("text", "model", "finish_reason", "usage", "warnings"):
            assert getattr(streamed, field) == getattr(whole, field)
        assert [(each.name, each.arguments) for each in streamed.calls] == [
            (each.name, each.arguments) for each in whole.calls
        ]
        assert (streamed.native is None) == (whole.native is None)
