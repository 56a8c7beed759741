"""Tools that a model is offered, and what becomes of its wish to use them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator_client.contract import caps
from orchestrator_client.contract.catalog import TOOLS
from orchestrator_client.contract.errors import ParametersInvalid, StepError
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.providers.base import ToolCall, ToolOffer
from orchestrator_worker.records import Asked
from orchestrator_worker.steps.conversation import AskedCall
from orchestrator_worker.steps.offers import NAME_CHARACTERS, asked_by, offers_of

HERE = f"python:{__name__}"


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


def plain(text):  # type: ignore[no-untyped-def]
    return text


def größe(text: str) -> int:
    """A name that is Python, and none that providers take."""
    return len(text)


def by_position(a: int, /) -> int:
    return a


def with_any(*numbers: int) -> int:
    return sum(numbers)


def takes_a_class(of: type[re.Pattern[str]] | ToolCall) -> None:
    """Its argument is nothing that JSON can say."""


def a_function_with_a_name_that_is_longer_than_the_longest_that_all_providers_take() -> None: ...


def offer(uses: str) -> ToolOffer:
    [(_, offered)] = offers_of([uses]).values()
    return offered


class TestOffers:
    @pytest.mark.parametrize("uses", TOOLS)
    def test_every_tool_of_the_catalog_can_be_offered(self, uses: str) -> None:
        offered = offer(uses)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", offered.name)
        assert offered.description == TOOLS[uses].description
        assert offered.parameters["type"] == "object"
        assert offered.parameters["properties"]

    def test_names_are_unlike(self) -> None:
        assert len(offers_of(list(TOOLS))) == len(TOOLS)

    @pytest.mark.parametrize(
        ("written", "uses"),
        [
            ("filesystem.read", "filesystem.read"),
            ("file.read", "filesystem.read"),
            ("terminal", "terminal.execute"),
            ("validation", "validation.validate"),
            ("http-client.get", "http.get"),
            (f"{HERE}:add", f"{HERE}:add"),
        ],
    )
    def test_a_tool_may_be_written_as_in_a_pipeline(self, written: str, uses: str) -> None:
        assert [found for found, _ in offers_of([written]).values()] == [uses]

    def test_the_same_tool_twice_is_one(self) -> None:
        assert list(offers_of(["terminal", "terminal.execute"])) == ["terminal_execute"]

    def test_a_function_is_offered_by_its_annotations(self) -> None:
        offered = offer(f"{HERE}:add")
        assert offered.name == "tests_unit_test_offers_add"
        assert offered.description == "Add two numbers."
        assert offered.parameters["properties"]["a"]["type"] == "integer"
        assert offered.parameters["required"] == ["a"]

    def test_a_function_without_words_is_named(self) -> None:
        offered = offer(f"{HERE}:plain")
        assert offered.description == f"Call {__name__}:plain"
        assert set(offered.parameters["properties"]) == {"text"}

    def test_a_name_is_one_that_providers_take(self) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", offer(f"{HERE}:größe").name)
        long = offer(f"{HERE}:a_function_with_a_name_that_is_longer_than_the_longest_that_all_providers_take").name
        assert len(long) == NAME_CHARACTERS
        assert long.endswith("_all_providers_take")

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("filesystem.raed", "did you mean 'filesystem.read'"),
            ("filesystem", "did you mean 'filesystem."),
            ("zzz", "there is no tool 'zzz'; name tool.action"),
            (f"{HERE}:nobody", "check the spelling"),
            ("python:no.such.module:f", "no module"),
            (f"{HERE}:by_position", "arguments without names"),
            (f"{HERE}:with_any", "parameter 'tools'"),
            (f"{HERE}:takes_a_class", "have no JSON Schema"),
        ],
    )
    def test_what_cannot_be_offered(self, written: str, said: str) -> None:
        with pytest.raises(StepError, match=re.escape(said)) as caught:
            offers_of([written])
        assert not caught.value.retryable

    def test_two_tools_that_look_alike_to_a_model_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        long = "a_function_with_a_name_that_is_longer_than_the_longest_that_all_providers_take"
        monkeypatch.setitem(globals(), f"x{long}", add)
        with pytest.raises(ParametersInvalid, match="one name for a model"):
            offers_of([f"{HERE}:{long}", f"{HERE}:x{long}"])


OFFERS = offers_of(["filesystem.read", f"{HERE}:add"])
ADD = "tests_unit_test_offers_add"


def wished(*calls: ToolCall, turn: int = 1) -> tuple[tuple[AskedCall, ...], tuple[Asked, ...]]:
    return asked_by("ask", turn, calls, OFFERS)


def refusal(call: ToolCall) -> str:
    [kept], asked = wished(call)
    assert (kept.instance, asked) == ("", ())
    return kept.refusal


class TestWishes:
    def test_each_call_is_a_step_of_its_own(self) -> None:
        read, add = ToolCall("c1", "filesystem_read", {"path": "a"}), ToolCall("c2", ADD, {"a": 1})
        kept, asked = wished(read, add, turn=3)
        assert [call.instance for call in kept] == ["ask#3.1", "ask#3.2"]
        assert [call.id for call in kept] == ["c1", "c2"]
        assert [(one.instance, one.queue) for one in asked] == [("ask#3.1", "tool"), ("ask#3.2", "tool")]
        first, second = (AskedStep.of_memo(one.memo) for one in asked)
        assert first == AskedStep("ask", 3, 2, "filesystem.read", {"path": "a"})
        assert (second.uses, second.return_edge) == (f"{HERE}:add", "ask#3")

    def test_only_the_steps_that_run_are_waited_for(self) -> None:
        kept, asked = wished(ToolCall("c1", "nope", {}), ToolCall("c2", ADD, {"a": 1}))
        assert [call.instance for call in kept] == ["", "ask#1.2"]
        assert AskedStep.of_memo(asked[0].memo).of == 1

    def test_a_tool_that_was_not_offered_is_refused(self) -> None:
        assert refusal(ToolCall("c1", "terminal_execute", {"command": "ls"})) == (
            f"there is no tool 'terminal_execute'; there are: filesystem_read, {ADD}"
        )

    def test_arguments_that_cannot_be_read_are_refused(self) -> None:
        assert "are not JSON" in refusal(ToolCall("c1", ADD, {}, problem="the arguments are not JSON: line 1"))

    def test_more_than_the_most_at_once_are_refused(self) -> None:
        kept, asked = wished(*(ToolCall(f"c{n}", ADD, {"a": n}) for n in range(caps.CALLS_OF_A_TURN + 2)))
        assert len(asked) == caps.CALLS_OF_A_TURN
        assert [bool(call.refusal) for call in kept[-3:]] == [False, True, True]

    @pytest.mark.parametrize("reserved", ["config", "error_pattern"])
    def test_a_model_does_not_configure_a_tool(self, reserved: str) -> None:
        offers = offers_of(["langchain:tests.langchain_tools:as_text"])
        [(name, (_, offered))] = offers.items()
        assert (name, list(offered.parameters["properties"])) == ("tests_langchain_tools_as_text", ["path"])
        [kept], asked = asked_by("ask", 1, [ToolCall("c1", name, {"path": "a", reserved: {"root_dir": "/"}})], offers)
        assert (kept.refusal, asked) == (f"there is no parameter '{reserved}'", ())

    @pytest.mark.parametrize("arguments", [{}, {"path": "{{ inputs.secret }}"}])
    def test_what_a_model_writes_is_never_a_template(self, arguments: dict[str, Any]) -> None:
        _, [asked] = wished(ToolCall("c1", "filesystem_read", arguments))
        assert AskedStep.of_memo(asked.memo).step("ask#1.1").parameters == arguments
