"""What a model step asks, and which models, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_worker.limits import CACHE_SECONDS, LONGEST_CACHE_SECONDS
from orchestrator_worker.providers.base import ToolCall
from orchestrator_worker.providers.registry import Providers
from orchestrator_worker.records import Admitted
from orchestrator_worker.steps.base import Fail
from orchestrator_worker.steps.conversation import AskedCall, Memo, PastTurn
from orchestrator_worker.steps.model import ModelStep
from tests.unit.asking import Model, call, context, described, run, saying


class TestRequest:
    def test_asks_what_the_parameters_say(self) -> None:
        model = Model()
        model.output(
            max_completion_tokens="12",
            temperature=0.3,
            top_p=0.9,
            stop_sequences=["END"],
            seed=7,
            reasoning_effort="low",
            options={"user": "me"},
            credential="second",
            unknown=1,
        )
        asked = model.asked[0]
        assert (asked.model, asked.max_tokens, asked.temperature, asked.top_p) == ("gpt-4o-mini", 12, 0.3, 0.9)
        assert (asked.stop, asked.seed, asked.reasoning_effort) == (("END",), 7, "low")
        assert (asked.options, asked.credential) == ({"user": "me"}, "second")
        assert (asked.schema, asked.tools, asked.tool_choice) == (None, (), "auto")

    def test_the_provider_is_given_longer_than_the_step(self) -> None:
        model = Model()
        model.output(step={"timeout_seconds": 7.0})
        model.output()
        assert model.asked[0].timeout_seconds > 7.0
        assert model.asked[1].timeout_seconds > 600.0

    def test_asks_for_a_schema_and_tools(self) -> None:
        model = Model(saying("{}"))
        model.output(schema={"type": "object"}, tools=["filesystem.read", "terminal"], tool_choice="required")
        asked = model.asked[0]
        assert asked.schema == {"type": "object"}
        assert [tool.name for tool in asked.tools] == ["filesystem_read", "terminal_execute"]
        assert asked.tool_choice == "required"

    def test_the_tool_that_must_be_called_goes_by_the_name_that_the_model_sees(self) -> None:
        assert Model().prepare(tools=["filesystem.read"], tool_choice="filesystem.read").request.tool_choice == (
            "filesystem_read"
        )

    @pytest.mark.parametrize(("choice", "then"), [("required", "auto"), ("filesystem.read", "auto"), ("none", "none")])
    def test_a_model_is_free_once_it_has_called_what_it_must(self, choice: str, then: str) -> None:
        memo = Memo(turns=(PastTurn("", calls=(AskedCall("c1", "x", {}, refusal="no"),)),)).to_json()
        prepared = Model().prepare(tools=["filesystem.read"], tool_choice=choice, memo=memo)
        assert prepared.request.tool_choice == then

    def test_without_tools_nothing_is_to_choose(self) -> None:
        assert Model().prepare(tool_choice="required").request.tool_choice == "auto"

    def test_the_conversation_goes_on_where_it_was(self) -> None:
        turn = PastTurn("Let me see.", calls=(AskedCall("c1", "filesystem_read", {"path": "a"}, "ask#1.1"),))
        returned = {"ask#1.1": {"success": True, "result": "found"}}
        messages = (
            Model().prepare(tools=["filesystem.read"], memo=Memo(turns=(turn,)).to_json(), returned=returned)
        ).request.messages
        assert [message.role for message in messages] == ["user", "assistant", "tool"]
        assert messages[1].calls == (ToolCall("c1", "filesystem_read", {"path": "a"}),)
        assert messages[2].returns[0].content == "found"

    def test_shows_files_of_the_runs_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"\x89PNG")
        model = Model(folder=tmp_path)
        model.output(images="a.png")
        media = model.asked[0].messages[0].parts[0]
        assert getattr(media, "data", None) == b"\x89PNG"

    @pytest.mark.parametrize(("cache", "seconds"), [(False, 0), (True, CACHE_SECONDS), (60, 60), (0, 0)])
    def test_an_answer_is_kept_for_as_long_as_the_step_says(self, cache: bool | int, seconds: int) -> None:
        assert Model().prepare(cache=cache).cache_seconds == seconds

    @pytest.mark.parametrize("cache", [-1, LONGEST_CACHE_SECONDS + 1, 10**19])
    def test_no_answer_is_kept_for_longer_than_a_store_can_count(self, cache: int) -> None:
        with pytest.raises(ParametersInvalid, match="parameter 'cache'"):
            Model().prepare(cache=cache)


class TestModels:
    @pytest.mark.parametrize(
        ("parameter", "default", "provider", "name"),
        [
            ("openai/gpt-5", "o3", "openai", "gpt-5"),
            ("", "o3", "openai", "o3"),
            (None, "o3", "openai", "o3"),
            ("claude-haiku-4-5", "", "anthropic", "claude-haiku-4-5"),
            ("ollama:llama3.2:1b", "", "ollama", "llama3.2:1b"),
            ("  ", "ollama/mine", "ollama", "mine"),
        ],
    )
    def test_the_nearest_that_is_written_is_asked(
        self, parameter: str | None, default: str, provider: str, name: str
    ) -> None:
        model = Model(default=default)
        model.output(model=parameter)
        assert (model.looked_up, model.asked[0].model) == ([provider], name)

    def test_a_template_that_gives_nothing_leaves_it_to_the_default(self) -> None:
        """The parameter is the rendered template; the template itself names no model."""
        prepared = Model(default="o3").prepare(model="", step={"model": "{{ inputs.model }}"})
        assert prepared.models == ("openai/o3",)

    def test_the_projects_default_comes_after_the_workers(self) -> None:
        project = Project(default_model="gpt-5")
        assert Model(project=project).prepare(model=None).models == ("openai/gpt-5",)
        assert Model(project=project, default="o3").prepare(model=None).models == ("openai/o3",)

    def test_none_at_all(self) -> None:
        failed = Model().fail(model=None)
        assert isinstance(failed.error, ParametersInvalid)
        assert "ORCHESTRATOR_DEFAULT_MODEL" in str(failed.error)

    def test_others_stand_behind_it_each_once(self) -> None:
        prepared = Model().prepare(fallback_models=["claude-haiku-4-5", "openai/gpt-4o-mini", "gpt-5"])
        assert prepared.models == ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "openai/gpt-5")
        assert (prepared.request.model, prepared.selection) == ("gpt-4o-mini", "")

    def test_auto_chooses_among_those_of_the_project_and_says_why(self) -> None:
        project = Project.model_validate(
            {"models": {"openai/gpt-5": {"quality": 0.9}, "anthropic/claude-haiku-4-5": {"quality": 0.4}}}
        )
        prepared = Model(project=project).prepare(model="AUTO", selection={"strategy": "performance"})
        assert prepared.models == ("openai/gpt-5", "anthropic/claude-haiku-4-5")
        assert prepared.selection.startswith("performance")
        assert Model(project=project).output(model="AUTO").selection

    def test_auto_goes_by_what_is_shown(self) -> None:
        project = Project.model_validate(
            {"models": {"openai/a": {"quality": 1.0}, "openai/b": {"modalities": ["text", "image"]}}}
        )
        prepared = Model(project=project).prepare(model="AUTO", images="https://example.org/a.png")
        assert prepared.models == ("openai/b",)

    def test_auto_without_a_choice_is_the_default(self) -> None:
        assert Model(default="o3").prepare(model="AUTO").models == ("openai/o3",)
        assert isinstance(Model().fail(model="AUTO").error, ParametersInvalid)

    def test_the_gates_choice_is_asked(self) -> None:
        model = Model()
        model.output(fallback_models=["claude-haiku-4-5"], admitted=Admitted("admitted", pick=1))
        assert (model.looked_up, model.asked[0].model) == (["anthropic"], "claude-haiku-4-5")

    def test_a_provider_that_this_worker_lacks(self) -> None:
        project = Project()
        step = ModelStep(
            run, Providers(project), project, Prices(project), lambda _: context(), described, lambda _: None
        )
        want = step.perform(call(model="ollama:llama3.2:1b"))
        assert isinstance(want, Fail)
        assert isinstance(want.error, ParametersInvalid)
        assert "no provider 'ollama'; this worker knows anthropic, google, openai" in str(want.error)
        assert want.report is not None
        assert not want.report.sent
