"""Model steps: what they ask of the provider, and what they leave."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from orchestrator_client.contract.errors import CredentialMissing, ModelFailed, ParametersInvalid, StepTimeout
from orchestrator_client.contract.plan import Step, StepKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import registry
from orchestrator_worker.providers.base import Message, ModelReply, ModelRequest
from orchestrator_worker.providers.openai import OpenAI
from orchestrator_worker.steps.base import Call, Fail, Output, Want
from orchestrator_worker.steps.model import ModelStep, parsed_json
from tests.conformance.model_server import HELD_SECONDS, ModelServer, error, text

T = TypeVar("T")

REPLY = ModelReply(
    "Fine.",
    model="gpt-4o-mini",
    finish_reason="stop",
    usage=Usage(input_tokens=1000, output_tokens=500),
    raw_usage={"input_tokens": 1000, "output_tokens": 500},
)


def run(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    """A loop of its own, with a deadline, as the worker's."""
    try:
        return asyncio.run(asyncio.wait_for(coroutine, seconds))
    except TimeoutError:
        raise StepTimeout(f"took longer than {seconds:g} s") from None


@dataclass
class Model:
    """A provider of this test's own: notes what it is asked, and answers what it is told to."""

    reply: ModelReply = REPLY
    name: str = "openai"
    default: str | None = None
    asked: list[ModelRequest] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        return self.reply

    def look_up(self, name: str) -> Model:
        self.looked_up.append(name)
        return self

    def perform(self, uses: str = "generate", **parameters: Any) -> Want:
        return ModelStep(run, self.look_up, self.default).perform(call(uses, **parameters))

    def output(self, uses: str = "generate", **parameters: Any) -> Output:
        want = self.perform(uses, **parameters)
        assert isinstance(want, Output)
        return want


def call(uses: str = "generate", step: dict[str, Any] | None = None, **parameters: Any) -> Call:
    parameters = {"model": "gpt-4o-mini", "prompt": "Say fine.", **parameters}
    made = Step(id="ask", kind=StepKind.MODEL, uses=uses, **(step or {}))
    return Call(run="r", instance="ask", attempt=1, step=made, parameters=parameters)


def saying(content: str, **fields: Any) -> Model:
    return Model(replace(REPLY, text=content, **fields))


class TestGenerate:
    def test_leaves_what_templates_of_existing_pipelines_read(self) -> None:
        assert Model().output().value == {
            "action": "generate_text",
            "result": "Fine.",
            "model_used": "gpt-4o-mini",
            "finish_reason": "stop",
            "success": True,
        }

    def test_is_priced(self) -> None:
        output = Model().output()
        assert output.usage == Usage(input_tokens=1000, output_tokens=500, cost_usd=Decimal("0.00045"))
        assert output.model == "gpt-4o-mini"
        assert output.warnings == ()

    def test_without_a_known_price_has_no_cost_and_says_so(self) -> None:
        output = saying("Fine.", model="home-made").output()
        assert output.usage is not None
        assert output.usage.cost_usd is None
        assert any("home-made" in warning for warning in output.warnings)

    def test_passes_on_the_providers_warnings(self) -> None:
        assert saying("Fine.", warnings=("no temperature",)).output().warnings == ("no temperature",)

    def test_asks_what_the_parameters_say(self) -> None:
        model = Model()
        model.output(system_prompt="Be brief.", max_completion_tokens="12", temperature=0.3, unknown=1)
        asked = model.asked[0]
        assert asked.messages == (Message("system", "Be brief."), Message("user", "Say fine."))
        assert (asked.model, asked.max_tokens, asked.temperature) == ("gpt-4o-mini", 12, 0.3)

    def test_messages_stand_before_the_prompt(self) -> None:
        model = Model()
        model.output(messages=[{"role": "developer", "content": "a"}, {"role": "assistant", "content": "b"}])
        assert model.asked[0].messages == (
            Message("system", "a"),
            Message("assistant", "b"),
            Message("user", "Say fine."),
        )

    def test_a_reply_in_json_stays_text(self) -> None:
        assert saying('{"a": 1}').output(prompt="Answer in JSON").value["result"] == '{"a": 1}'

    def test_an_empty_reply_fails_and_may_be_tried_again(self) -> None:
        want = saying(" \n").perform()
        assert isinstance(want, Fail)
        assert isinstance(want.error, ModelFailed)
        assert want.error.retryable
        assert "gpt-4o-mini" in str(want.error)
        assert "empty reply" in str(want.error)
        assert want.value["success"] is False

    def test_a_reply_emptied_by_its_limit_would_be_empty_again(self) -> None:
        want = saying("", finish_reason="length").perform()
        assert isinstance(want, Fail)
        assert isinstance(want.error, ModelFailed)
        assert "raise max_tokens" in str(want.error)
        assert not want.error.retryable


class TestAnalyze:
    @pytest.mark.parametrize(
        ("parameters", "prompt"),
        [
            ({"prompt": "Sum up.", "text": "Long."}, "Sum up.\n\nData:\nLong."),
            ({"prompt": "Sum up.", "text": ""}, "Sum up."),
            ({"prompt": "", "text": "Long."}, "Analyze the following text for general:\n\nLong."),
            (
                {"prompt": "", "text": "Long.", "analysis_type": "mood"},
                "Analyze the following text for mood:\n\nLong.",
            ),
            ({"prompt": "Sum up.", "text": {"ü": [1]}}, 'Sum up.\n\nData:\n{"ü": [1]}'),
        ],
    )
    def test_prompt(self, parameters: dict[str, Any], prompt: str) -> None:
        model = Model()
        model.output("analyze", **parameters)
        assert model.asked[0].messages == (Message("user", prompt),)

    def test_leaves_its_kind_of_analysis(self) -> None:
        value = Model().output("analyze", text="x", analysis_type="mood").value
        assert (value["action"], value["analysis_type"], value["result"]) == ("analyze_text", "mood", "Fine.")

    @pytest.mark.parametrize(
        "parameters", [{"prompt": "Reply in JSON"}, {"analysis_type": "json_extraction"}, {"analysis_type": "to JSON"}]
    )
    def test_parses_json_where_it_is_asked_for(self, parameters: dict[str, Any]) -> None:
        model = saying('```json\n{"mood": "fine"}\n```')
        assert model.output("analyze", text="x", **parameters).value["result"] == {"mood": "fine"}

    def test_keeps_text_where_json_is_not_asked_for(self) -> None:
        assert saying("[1]").output("analyze", text="x").value["result"] == "[1]"

    def test_keeps_text_that_is_no_json_with_a_warning(self) -> None:
        output = saying("Sorry.").output("analyze", text="x", prompt="Reply in JSON")
        assert output.value["result"] == "Sorry."
        assert any("JSON" in warning for warning in output.warnings)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("[1, 2]", [1, 2]),
        (' {"a": null}\n', {"a": None}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("```\n[]```", []),
        ('Here it is:\n```JSON  \n{"a": "b"}\n  ```\nAnything else?', {"a": "b"}),
        ('{"code": "```\\nx\\n```"}', {"code": "```\nx\n```"}),
    ],
)
def test_json_is_found(reply: str, value: Any) -> None:
    assert parsed_json(reply) == value


@pytest.mark.parametrize("reply", ["", "no", "{'a': 1}", "NaN", '{"a": Infinity}', "```\nno\n```", "[" * 100_000])
def test_what_is_no_json(reply: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parsed_json(reply)


class TestParameters:
    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"max_tokens": "many"}, "max_tokens"),
            ({"temperature": "hot"}, "temperature"),
            ({"prompt": ["a"]}, "prompt"),
            ({"messages": "hello"}, "messages"),
            ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\.0\.role"),
            ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, r"messages\.0\.content"),
            ({"prompt": ""}, "prompt"),
        ],
    )
    def test_misfits_are_named_and_nothing_is_asked(self, parameters: dict[str, Any], named: str) -> None:
        model = Model()
        with pytest.raises(ParametersInvalid, match=named):
            model.perform(**parameters)
        assert model.asked == []

    def test_misfits_are_shown_in_part(self) -> None:
        with pytest.raises(ParametersInvalid) as caught:
            Model().perform(prompt=["x" * 10_000])
        assert len(str(caught.value)) < 200

    def test_unknown_action(self) -> None:
        with pytest.raises(ParametersInvalid, match="did you mean 'generate'"):
            Model().perform("generat")


class TestModelName:
    @pytest.mark.parametrize(
        ("parameter", "step", "default", "provider", "name"),
        [
            ("openai/gpt-5", {"model": "gpt-4o"}, "o3", "openai", "gpt-5"),
            (None, {"model": "gpt-4o"}, "o3", "openai", "gpt-4o"),
            ("", {}, "o3", "openai", "o3"),
            ("claude-haiku-4-5", {}, "", "anthropic", "claude-haiku-4-5"),
            ("mine", {"provider": "ollama"}, "", "ollama", "mine"),
            ("ollama:llama3.2:1b", {}, "", "ollama", "llama3.2:1b"),
        ],
    )
    def test_is_the_nearest_that_is_written(
        self, parameter: str | None, step: Any, default: str, provider: str, name: str
    ) -> None:
        model = Model(default=default)
        model.output(model=parameter, step=step)
        assert (model.looked_up, model.asked[0].model) == ([provider], name)

    def test_none_at_all(self) -> None:
        with pytest.raises(ParametersInvalid, match="ORCHESTRATOR_DEFAULT_MODEL"):
            Model().perform(model=None)

    def test_a_provider_that_this_build_lacks(self) -> None:
        with pytest.raises(ParametersInvalid, match=r"no provider 'ollama'; this build has: anthropic, .*openai"):
            ModelStep(run, registry.provider).perform(call(model="ollama:llama3.2:1b"))

    def test_the_registry_keeps_one_instance(self) -> None:
        assert registry.provider("openai") is registry.provider("openai")


class TestTime:
    def test_the_provider_is_given_longer_than_the_step(self) -> None:
        model = Model()
        model.output(step={"timeout_seconds": 7.0})
        model.output()
        assert model.asked[0].timeout_seconds > 7.0
        assert model.asked[1].timeout_seconds > 600.0

    def test_a_late_reply_is_a_late_step(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(text("late", delay_seconds=HELD_SECONDS))
        with pytest.raises(StepTimeout):
            over_http(step={"timeout_seconds": 3.0})
        server.wait_until(lambda server: server.hangups == 1, "the late exchange is closed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server


@pytest.fixture
def over_http(server: ModelServer) -> Callable[..., Want]:
    """Performs a step with the real provider, on a loop whose connections are closed behind it."""
    provider = OpenAI()

    def run_and_close(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        async def closing() -> T:
            try:
                return await asyncio.wait_for(coroutine, seconds)
            finally:
                await provider.close()

        return run(closing(), seconds + 30)

    def perform(**parameters: Any) -> Want:
        return ModelStep(run_and_close, lambda _: provider).perform(call(**parameters))

    return perform


class TestOverHttp:
    def test_succeeds(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(text("All fine.", input_tokens=1000, output_tokens=500))
        want = over_http()
        assert isinstance(want, Output)
        assert want.value["result"] == "All fine."
        assert want.usage is not None
        assert want.usage.cost_usd == Decimal("0.00045")
        assert server.requests[0].body["model"] == "gpt-4o-mini"

    def test_raises_what_went_wrong(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(error(429, headers={"retry-after": "4"}))
        with pytest.raises(ModelFailed) as caught:
            over_http()
        assert caught.value.retry_after_seconds == 4.0

    def test_raises_for_want_of_a_key(self, over_http: Callable[..., Want], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(CredentialMissing, match="OPENAI_API_KEY"):
            over_http()


def test_providers_and_the_step_do_not_load_a_vendor_before_the_first_call() -> None:
    code = (
        "import sys, orchestrator_worker.steps.model;"
        "from orchestrator_worker.providers.registry import PROVIDERS, provider;"
        "[provider(name) for name in PROVIDERS];"
        "vendors = 'openai', 'anthropic', 'google.genai', 'httpx2', 'genai_prices';"
        "sys.exit(any(name in sys.modules for name in vendors))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
