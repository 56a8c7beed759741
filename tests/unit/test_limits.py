"""What a call asks of its gate: its scope, its estimate, its budgets, and which request it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import BudgetSection, OnBreach, Project
from orchestrator_client.contract.run import RunBudget
from orchestrator_client.contract.tokens import MEDIA_TOKENS
from orchestrator_worker.limits import (
    LONGEST_REPLY_TOKENS,
    MEDIA_MOST,
    Asking,
    Prepared,
    digest_of,
    input_tokens,
    most_input_tokens,
    nano,
    period,
)
from orchestrator_worker.providers.base import Media, Message, ModelRequest, ToolCall, ToolOffer, ToolReturn
from orchestrator_worker.records import OpenRun

STEP = Step(id="ask", kind=StepKind.MODEL, uses="generate")
PLAN = Plan(id="report", steps=(STEP,))
REQUEST = ModelRequest("gpt-4o-mini", (Message.of("user", "Say fine."),))
PREPARED = Prepared(("openai/gpt-4o-mini",), REQUEST)


def run(**fields: Any) -> OpenRun:
    return OpenRun("r_1", PLAN.hash, b"{}", 0, **fields)


def described(prepared: Prepared = PREPARED, of: OpenRun | None = None, **project: Any) -> dict[str, Any]:
    configured = Project.model_validate(project)
    entry: dict[str, Any] = json.loads(
        Asking(configured, Prices(configured)).describe(prepared, of or run(), PLAN, STEP)
    )
    return entry


def candidate(prepared: Prepared = PREPARED, **project: Any) -> dict[str, Any]:
    [only] = described(prepared, **project)["candidates"]
    assert isinstance(only, dict)
    return only


class TestCandidates:
    def test_a_call_as_its_gate_takes_it(self) -> None:
        entry = described(of=run(tenant="acme", tags=("nightly",)))
        assert (entry["tenant"], entry["tags"], entry["budgets"]) == ("acme", ["nightly"], [])
        assert entry["history"] == names.history("report", "ask")
        assert "digest" not in entry
        [call] = entry["candidates"]
        assert (call["scope"], call["queue"]) == ("openai/default/gpt-4o-mini", "model.openai")
        assert (call["model"], json.loads(call["config"])) == ("openai/gpt-4o-mini", {})
        assert (call["input"], call["most"]) == (input_tokens(REQUEST), most_input_tokens(REQUEST))

    def test_each_model_has_its_own_gate_and_queue(self) -> None:
        prepared = replace(PREPARED, models=("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"))
        first, second = described(prepared)["candidates"]
        assert [first["queue"], second["queue"]] == ["model.openai", "model.anthropic"]
        assert second["scope"] == "anthropic/default/claude-haiku-4-5"

    def test_each_account_has_its_own_gate(self) -> None:
        call = candidate(replace(PREPARED, request=replace(REQUEST, credential="second")))
        assert call["scope"] == "openai/second/gpt-4o-mini"

    def test_limits_are_those_of_the_nearest_pattern(self) -> None:
        limits = {
            "openai": {"requests_per_minute": 10},
            "openai/gpt-4o*": {"requests_per_minute": 20, "in_flight": 3, "input_tokens_per_minute": 500},
        }
        assert json.loads(candidate(limits=limits)["config"]) == {"requests": 20, "in_flight": 3, "input_tokens": 500}

    def test_prices_are_a_tokens_in_billionths(self) -> None:
        stated = {"openai/gpt-4o-mini": {"input_usd_per_million": "0.15", "output_usd_per_million": "0.6"}}
        assert candidate(models=stated)["usd"] == {"input": 150.0, "output": 600.0}
        unknown = replace(PREPARED, models=("openai/home-made",))
        assert "usd" not in candidate(unknown)

    @pytest.mark.parametrize(
        ("asked", "section", "output", "longest"),
        [(None, None, None, LONGEST_REPLY_TOKENS), (None, 700, None, 700), (50, 700, 50, 50), (50, None, 50, 50)],
    )
    def test_the_longest_reply_is_what_is_nearest_said(
        self, asked: int | None, section: int | None, output: int | None, longest: int
    ) -> None:
        models = {"openai/gpt-4o-mini": {"max_output_tokens": section}}
        call = candidate(replace(PREPARED, request=replace(REQUEST, max_tokens=asked)), models=models)
        assert (call.get("output"), call["longest"]) == (output, longest)

    @pytest.mark.parametrize("written", ["openai:gpt-4o-mini", "gpt-4o-mini"])
    def test_a_model_may_be_written_otherwise_in_the_project(self, written: str) -> None:
        assert candidate(models={written: {"max_output_tokens": 700}})["longest"] == 700

    def test_only_a_step_that_says_so_has_a_digest(self) -> None:
        entry = described(replace(PREPARED, cache_seconds=60))
        assert (entry["digest"], entry["life_s"]) == (digest_of(PREPARED), 60)


class TestBudgets:
    def test_the_runs_own_goes_before_the_projects(self) -> None:
        of_all = {"run": {"usd": "2", "on_breach": "pause"}}
        own = run(budget=RunBudget(usd=Decimal("0.5"), on_breach=OnBreach.CHEAPER))
        assert described(of=own, budgets=of_all)["budgets"] == [{"id": "run:r_1", "cap": 500_000_000, "on": "cheaper"}]
        below = run(budget=RunBudget(usd=Decimal("0.5")), depth=2, above="r_0")
        assert [budget["id"] for budget in described(of=below)["budgets"]] == ["run:r_0"]
        assert described(budgets=of_all)["budgets"] == [{"id": "run:r_1", "cap": 2_000_000_000, "on": "pause"}]

    def test_a_run_is_charged_to_its_tags_and_its_tenant(self) -> None:
        budgets = {
            "tag": {"nightly": {"usd": "1", "per": "ever"}, "other": {"usd": "9"}},
            "tenant": {"acme": {"usd": "3", "per": "ever"}, "": {"usd": "9"}},
        }
        charged = described(of=run(tags=("nightly", "unknown"), tenant="acme"), budgets=budgets)["budgets"]
        assert [(budget["id"], budget["cap"], budget["ttl_s"]) for budget in charged] == [
            ("tag:nightly:ever", 1_000_000_000, names.BUDGET_TTL_SECONDS),
            ("tenant:acme:ever", 3_000_000_000, names.BUDGET_TTL_SECONDS),
        ]

    @pytest.mark.parametrize(("per", "named"), [("day", "2026-03-01"), ("month", "2026-03"), ("ever", "ever")])
    def test_a_period_is_named_by_its_beginning_in_utc(self, per: Any, named: str) -> None:
        last_second_before = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
        section = BudgetSection(usd=Decimal(1), per=per)
        assert period(section, datetime(2026, 3, 1, tzinfo=UTC)) == named
        assert (period(section, last_second_before) == named) is (per == "ever")

    @settings(max_examples=100)
    @given(st.decimals(0, 10**6, places=15))
    def test_billionths_are_rounded_against_the_caller(self, usd: Decimal) -> None:
        assert 0 <= nano(usd) - usd * 1_000_000_000 < 1


class TestEstimates:
    def test_a_text_has_at_least_its_words_and_at_most_its_bytes(self) -> None:
        request = replace(REQUEST, messages=(Message.of("user", "word " * 1000),))
        assert 1000 <= input_tokens(request) <= 5000 <= most_input_tokens(request)

    @settings(max_examples=100)
    @given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
    def test_an_estimate_is_never_above_the_most(self, texts: list[str]) -> None:
        request = replace(REQUEST, messages=tuple(Message.of("user", text) for text in texts))
        assert 0 < input_tokens(request) <= most_input_tokens(request)

    @pytest.mark.parametrize(
        "more",
        [
            {"messages": (*REQUEST.messages, Message.of("assistant", "And more."))},
            {"messages": (replace(REQUEST.messages[0], calls=(ToolCall("c", "t", {"a": "long " * 20}),)),)},
            {"messages": (replace(REQUEST.messages[0], returns=(ToolReturn("c", "t", "long " * 20),)),)},
            {"messages": (Message("user", ("Say fine.", Media("image/png", b"x"))),)},
            {"schema": {"type": "object", "description": "long " * 20}},
            {"tools": (ToolOffer("t", "long " * 20, {"type": "object"}),)},
        ],
    )
    def test_all_that_is_sent_is_weighed(self, more: dict[str, Any]) -> None:
        larger = replace(REQUEST, **more)
        assert input_tokens(larger) > input_tokens(REQUEST)
        assert most_input_tokens(larger) > most_input_tokens(REQUEST)

    def test_an_image_counts_for_what_it_shows_and_not_for_its_bytes(self) -> None:
        image = replace(REQUEST, messages=(Message("user", (Media("image/png", b"x" * 10**6),)),))
        assert MEDIA_TOKENS <= input_tokens(image) < 2 * MEDIA_TOKENS
        assert MEDIA_MOST * MEDIA_TOKENS <= most_input_tokens(image) < 2 * MEDIA_MOST * MEDIA_TOKENS


def digest(models: tuple[str, ...] = PREPARED.models, **fields: Any) -> str:
    return digest_of(Prepared(models, replace(REQUEST, **fields)))


def reordered(value: Any) -> Any:
    """The same JSON with the keys of its mappings in the other order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


OPTIONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


class TestDigest:
    @pytest.mark.parametrize(
        "change",
        [
            {"messages": (Message.of("user", "Say fine!"),)},
            {"messages": (Message.of("system", "Say fine."),)},
            {"messages": (Message("user", ("Say ", "fine.")),)},
            {"messages": (Message("user", (Media("image/png", b"a"),)),)},
            {"messages": (Message("user", (Media("image/png", b"b"),)),)},
            {"messages": (Message("user", (Media("image/gif", b"a"),)),)},
            {"messages": (replace(REQUEST.messages[0], native=[{}]),)},
            {"messages": (replace(REQUEST.messages[0], returns=(ToolReturn("c", "t", "x"),)),)},
            {"max_tokens": 5},
            {"temperature": 0.0},
            {"top_p": 1.0},
            {"stop": ("END",)},
            {"seed": 1},
            {"reasoning_effort": "low"},
            {"schema": {"type": "object"}},
            {"tools": (ToolOffer("t", "", {}),)},
            {"tool_choice": "required"},
            {"options": {"user": "me"}},
            {"credential": "second"},
            {"models": ("openai/gpt-5",)},
            {"models": ("openai/gpt-4o-mini", "openai/gpt-5")},
        ],
    )
    def test_tells_apart_what_may_be_answered_otherwise(self, change: dict[str, Any]) -> None:
        assert digest(**change) != digest()
        assert digest(**change) == digest(**change)

    def test_images_are_told_apart_by_their_bytes(self) -> None:
        first, second = (digest(messages=(Message("user", (Media("image/png", data),)),)) for data in (b"a", b"b"))
        assert first != second

    def test_is_the_same_however_long_the_answer_is_waited_for(self) -> None:
        assert digest(timeout_seconds=1.0) == digest(timeout_seconds=2.0)

    def test_is_the_same_whatever_becomes_of_the_answer(self) -> None:
        assert digest_of(replace(PREPARED, selection="the cheapest", cache_seconds=60)) == digest_of(PREPARED)

    @settings(max_examples=150)
    @given(st.dictionaries(st.text(max_size=5), OPTIONS, max_size=4))
    def test_is_the_same_in_whatever_order_keys_were_written(self, options: dict[str, Any]) -> None:
        assert digest(options=options) == digest(options=reordered(options))

    @settings(max_examples=100)
    @given(OPTIONS, OPTIONS)
    def test_is_the_same_only_for_what_is_the_same(self, one: Any, other: Any) -> None:
        alike = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        assert (digest(options={"a": one}) == digest(options={"a": other})) is alike

    def test_takes_text_that_no_encoding_can_spell(self) -> None:
        assert digest(messages=(Message.of("user", "\ud800"),))
