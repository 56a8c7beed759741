"""What a pipeline file says of models: which answers, how it is chosen, and what it is asked beside the prompt."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.catalog import MODEL_ACTIONS
from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import Step
from orchestrator_client.loader import Loaded, dialect, loads
from tests.unit.loading import TERMINAL, codes


def loaded(keys: str, parameters: str = "", top: str = "") -> Loaded:
    """A file with the model step `x`, one key a line, and the parameters after its prompt."""
    lines = "".join(f"  {line}\n" for line in keys.strip().splitlines())
    asked = "{prompt: p" + (f", {parameters}" if parameters else "") + "}"
    return loads(f"{top}\nsteps:\n- id: x\n  action: generate\n{lines}  parameters: {asked}\n")


def step(keys: str, parameters: str = "", top: str = "") -> Step:
    """The step, which must load without a warning."""
    found = loaded(keys, parameters, top)
    assert [warning.render("f") for warning in found.warnings] == []
    return found.plan.steps[0]


def problem(keys: str, parameters: str = "") -> Problem:
    """The one thing that is wrong with the step."""
    with pytest.raises(PlanInvalid) as caught:
        loaded(keys, parameters)
    (only,) = caught.value.problems
    assert (only.step, only.line > 0, only.column > 0) == ("x", True, True)
    return only


class TestKeysOfTheStep:
    @pytest.mark.parametrize(
        ("key", "value", "read"),
        [
            ("fallback_models", "[gpt-5, anthropic/claude-opus-4]", ["gpt-5", "anthropic/claude-opus-4"]),
            ("tools", "[http.get]", ["http.get"]),
            ("response_format", "json_object", "json_object"),
            ("schema", "{type: object}", {"type": "object"}),
            ("schema", "python:package.module:Class", "python:package.module:Class"),
            ("stream", "true", True),
            ("cache", "3600", 3600),
            ("credential", "second", "second"),
            ("max_turns", "3", 3),
            ("stream", '"{{ inputs }}"', "{{ inputs }}"),
        ],
    )
    def test_they_become_parameters(self, key: str, value: str, read: Any) -> None:
        here, there = step(f"{key}: {value}"), step("", f"{key}: {value}")
        assert here.parameters == there.parameters == {"prompt": "p", key: read}

    def test_every_one_is_a_parameter_of_model_steps(self) -> None:
        aliases = {"schema": "schema_"}
        named = {aliases.get(key, key) for key in dialect.STEP_MODEL_KEYS - {"requires_model"}}
        assert named <= GenerateParameters.model_fields.keys()

    @pytest.mark.parametrize(("key", "other"), [("max_turns: 3", "max_turns: 5"), ("schema: {}", "schema_: {a: 1}")])
    def test_a_parameter_wins_over_the_key_of_the_step(self, key: str, other: str) -> None:
        found = loaded(key, other)
        assert codes(found) == ["two-spellings"]
        assert found.plan.steps[0].parameters == step("", other).parameters

    def test_templates_in_them_are_read(self) -> None:
        first = f"- {{id: first, {TERMINAL}}}\n"
        asked = "- id: x\n  action: generate\n  cache: '{{ first.n }}'\n  parameters: {prompt: p}\n"
        assert loads(f"steps:\n{first}{asked}").plan.step_by_id["x"].reads == ("first",)

    @pytest.mark.parametrize("key", sorted(dialect.STEP_MODEL_KEYS))
    def test_of_a_tool_step_they_have_no_effect(self, key: str) -> None:
        found = loads(f"steps: [{{id: x, {TERMINAL}, {key}: none}}]")
        assert codes(found) == ["no-effect"]
        assert found.plan.steps[0].parameters == {"command": "date"}

    def test_the_record_checks_them_as_parameters(self) -> None:
        found = problem("max_turns: 101")
        assert (found.code, found.line, found.column) == ("parameter-type", 5, 3)
        assert "100" in found.message

    def test_a_structured_answer_needs_its_schema(self) -> None:
        text = "steps: [{id: x, action: generate_structured, %s parameters: {prompt: p}}]"
        assert loads(text % "schema: {type: object},").plan.steps[0].uses == "generate-structured"
        with pytest.raises(PlanInvalid, match="needs 'schema'; add schema under parameters"):
            loads(text % "")


class TestAuto:
    TAGS: tuple[tuple[str, dict[str, Any]], ...] = (
        ("AUTO", {}),
        ('" AUTO "', {}),
        ("<AUTO>", {}),
        ("<AUTO>pick the best</AUTO>", {}),
        ("<AUTO>Analysis</AUTO>", {"task": "analysis"}),
        ('<AUTO task="analyze">pick the best</AUTO>', {"task": "analyze"}),
        ("'<AUTO task=\"analyze\">pick</AUTO>'", {"task": "analyze"}),
        ('"<AUTO task=analyze expertise=very_high>chat</AUTO>"', {"task": "analyze", "expertise": "very-high"}),
        ("<AUTO task='code' min_size='7B'>{{ nobody }}</AUTO>", {"task": "code", "min_size_billions": 7}),
        ("<AUTO strategy = cost>", {"strategy": "cost"}),
    )

    @pytest.mark.parametrize(("written", "selection"), TAGS)
    @pytest.mark.parametrize("place", ["step", "parameters", "pipeline"])
    def test_forms_and_places(self, place: str, written: str, selection: dict[str, Any]) -> None:
        text = {
            "step": f"steps:\n- id: x\n  action: generate\n  model: {written}\n  parameters: {{prompt: p}}\n",
            "parameters": f"steps:\n- id: x\n  action: generate\n  parameters:\n    prompt: p\n    model: {written}\n",
            "pipeline": f"model: {written}\nsteps:\n- id: x\n  action: generate\n  parameters: {{prompt: p}}\n",
        }[place]
        found = loads(text)
        (only,) = found.plan.steps
        assert found.warnings == []
        assert (only.model, only.provider, only.queue, only.reads) == ("AUTO", "auto", "model.auto", ())
        assert only.parameters == {"prompt": "p"} | ({"selection": selection} if selection else {})

    def test_it_is_in_capitals(self) -> None:
        assert step("model: auto").provider == "openai"

    def test_the_model_of_the_step_goes_before_that_of_the_pipeline(self) -> None:
        own = step("model: gpt-5", top="model: <AUTO task=code>")
        assert (own.model, own.parameters) == ("gpt-5", {"prompt": "p"})

    def test_in_the_body_of_a_loop(self) -> None:
        inner = "[{id: y, action: generate, model: <AUTO>, parameters: {prompt: p}}]"
        loop = loads(f"steps: [{{id: x, for_each: [1], steps: {inner}}}]").plan.steps[0].loop
        assert loop is not None
        assert loop.steps[0].model == "AUTO"

    def test_selection_goes_before_the_tag_entry_by_entry(self) -> None:
        own = step("model: <AUTO task=code expertise=low>\nselection: {expertise: high, max_usd: 0.5}")
        assert own.parameters["selection"] == {"expertise": "high", "max_usd": "0.5", "task": "code"}

    def test_templates_are_left_for_later(self) -> None:
        own = step('model: AUTO\nselection: {strategy: "{{ execution_id }}"}')
        assert own.parameters["selection"] == {"strategy": "{{ execution_id }}"}
        assert step('model: AUTO\nselection: "{{ inputs }}"').parameters["selection"] == "{{ inputs }}"

    def test_an_attribute_of_another_meaning_is_warned_of_once(self) -> None:
        steps = "".join(f"- {{id: s{i}, action: generate, parameters: {{prompt: p}}}}\n" for i in range(9))
        assert codes(loads(f"model: <AUTO quality=high>\nsteps:\n{steps}")) == ["no-effect"]

    @pytest.mark.parametrize(
        ("keys", "code", "words"),
        [
            ("model: <AUTO task='a>b</AUTO>", "wrong-value", "no whole <AUTO> tag"),
            ("model: <AUTO>a</AUTO>, or gpt-5", "wrong-value", "write model: AUTO, or"),
            ("model: <AUTO strategy=cheap>", "wrong-value", "write one of cost, performance, balanced"),
            ("model: AUTO\nselection: {strategy: performence}", "wrong-value", "did you mean 'performance'?"),
            ("model: AUTO\nselection: {expertise: hihg}", "wrong-value", "did you mean 'high'?"),
            (
                "model: AUTO\nselection: {max_usd: much}",
                "wrong-type",
                "max_usd of a selection should be a valid",
            ),
            ("model: AUTO\nselection: [cost]", "parameter-type", "'selection' should be a valid dictionary"),
        ],
    )
    def test_what_cannot_be_read(self, keys: str, code: str, words: str) -> None:
        found = problem(keys)
        assert (found.code, found.line >= 5) == (code, True)
        assert words in found.render("f")

    def test_an_unknown_entry_is_warned_of(self) -> None:
        found = loaded("model: AUTO\nselection: {tsak: code}")
        assert codes(found) == ["unknown-parameter"]
        assert found.warnings[0].remedy == "did you mean 'task'?"

    @pytest.mark.parametrize("model", ["model: gpt-5", ""])
    def test_a_selection_where_nothing_is_chosen_is_warned_of(self, model: str) -> None:
        assert codes(loaded(f"{model}\nselection: {{strategy: cost}}")) == ["no-effect"]

    def test_a_model_that_a_template_names_may_turn_out_to_be_auto(self) -> None:
        assert step('model: "{{ execution_id }}"\nselection: {strategy: cost}').provider == "openai"


class TestRequiresModel:
    @pytest.mark.parametrize(
        ("written", "selection"),
        [
            ('{min_size: "7B", expertise: high}', {"min_size_billions": 7, "expertise": "high"}),
            ("{min_size: 7}", {"min_size_billions": 7}),
            (
                "{min_size: 0.5B, modalities: image}",
                {"min_size_billions": 0.5, "modalities": ["image"]},
            ),
        ],
    )
    @pytest.mark.parametrize("top", ["", "model: gpt-5", "model: AUTO"])
    def test_a_step_without_a_model_of_its_own_is_chosen_by_it(
        self, top: str, written: str, selection: dict[str, Any]
    ) -> None:
        own = step(f"requires_model: {written}", top=top)
        assert (own.model, own.provider) == ("AUTO", "auto")
        assert own.parameters == {"prompt": "p", "selection": selection}
        assert step("", f"requires_model: {written}").parameters == own.parameters

    @pytest.mark.parametrize("written", ["none", "None", "null"])
    def test_none_requires_nothing(self, written: str) -> None:
        own = step(f"requires_model: {written}", top="model: gpt-5")
        assert (own.model, own.parameters) == ("gpt-5", {"prompt": "p"})

    def test_a_model_that_the_step_names_stays(self) -> None:
        found = loaded("model: gpt-5\nrequires_model: {expertise: high}")
        assert (found.plan.steps[0].model, codes(found)) == ("gpt-5", ["no-effect"])

    def test_it_adds_to_what_the_step_says_of_auto(self) -> None:
        own = step(
            "model: <AUTO task=code>\nrequires_model: {expertise: high, min_size: 7}\nselection: {expertise: low}"
        )
        assert own.parameters["selection"] == {"expertise": "low", "task": "code", "min_size_billions": 7}

    def test_requirements_of_the_predecessor_have_no_effect(self) -> None:
        assert codes(loaded("requires_model: {expertise: high, max_latency_ms: 5}")) == ["no-effect"]

    @pytest.mark.parametrize(
        ("written", "code", "words"),
        [
            ("gpt-5", "wrong-type", "name a model with model:"),
            ("{min_size: big}", "wrong-type", "min_size_billions"),
            ("{expertise: wizard}", "wrong-value", "write one of low, medium, high, very-high"),
        ],
    )
    def test_what_cannot_be_read(self, written: str, code: str, words: str) -> None:
        found = problem(f"requires_model: {written}")
        assert (found.code, found.line) == (code, 5)
        assert words in found.render("f")


class TestTools:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("[file.read, HTTP_client.get]", ["filesystem.read", "http.get"]),
            ("[terminal, data_processing.Filter]", ["terminal.execute", "data-processing.filter"]),
            ("http.get", "http.get"),
            ("['python:package.module:function']", ["python:package.module:function"]),
            ("['{{ execution_id }}', file.read]", ["{{ execution_id }}", "filesystem.read"]),
        ],
    )
    def test_names_become_the_catalogs(self, written: str, read: Any) -> None:
        assert step(f"tools: {written}").parameters["tools"] == read

    @pytest.mark.parametrize("choice", ["auto", "none", "required", "file.read", "'{{ execution_id }}'"])
    def test_choices(self, choice: str) -> None:
        own = step("tools: [filesystem.read]", f"tool_choice: {choice}")
        assert own.parameters["tool_choice"] == choice.replace("file.", "filesystem.").strip("'")

    @pytest.mark.parametrize(
        ("keys", "parameters", "code", "words"),
        [
            ("tools: [filesystem.raed]", "", "unknown-tool", "filesystem.read, filesystem.write"),
            ("tools: [filesystem]", "", "unknown-tool", "write one of filesystem.read"),
            ("tools: [filesystm.read]", "", "unknown-tool", "did you mean 'filesystem.read'?"),
            ("tools: ['python:nothing']", "", "unknown-tool", "python:package.module:function"),
            ("tools: [image-generation]", "", "not-yet", "tool 'image-generation'"),
            ("tools: [http.get]", "tool_choice: requierd", "wrong-value", "did you mean 'required'?"),
            ("tools: [http.get]", "tool_choice: http.post", "wrong-value", "did you mean 'http.get'?"),
            ("", "tool_choice: required", "missing-parameter", "add tools under parameters"),
            ("max_turns: 0", "", "parameter-type", "greater than or equal to 1"),
        ],
    )
    def test_what_is_wrong(self, keys: str, parameters: str, code: str, words: str) -> None:
        found = problem(keys, parameters)
        assert (found.code, found.line) == (code, 6 if keys and parameters else 5)
        assert words in found.render("f")


class TestAnswers:
    @pytest.mark.parametrize(
        ("keys", "code", "words"),
        [
            ("schema: [a]", "wrong-type", "write JSON Schema as a mapping"),
            ("schema: package.module:Class", "wrong-type", "python:package.module:Class"),
            ("response_format: json_obj", "wrong-value", "did you mean 'json_object'?"),
            ("response_format: {type: xml}", "wrong-value", "write one of json, json_object, json_schema, text"),
            ("response_format: 5", "wrong-type", "its type is one of"),
            ("response_format: {type: json_schema}", "missing-parameter", "json_schema: {schema: …}"),
            ("fallback_models: [gpt-5, openai/gpt-5]", "wrong-value", "a second time"),
            ("fallback_models: gpt-4o\nmodel: openai:gpt-4o", "wrong-value", "it has failed by then"),
            ("fallback_models: [AUTO]", "wrong-value", "write model: AUTO for the step"),
            ("cache: -1", "out-of-range", "how many seconds"),
        ],
    )
    def test_what_is_wrong(self, keys: str, code: str, words: str) -> None:
        found = problem(keys)
        assert found.code == code
        assert words in found.render("f")

    @pytest.mark.parametrize(
        "written",
        [
            "text",
            "{type: json_object}",
            "{type: json_schema, json_schema: {name: n, schema: {}}}",
            "'{{ execution_id }}'",
        ],
    )
    def test_formats(self, written: str) -> None:
        assert "response_format" in step(f"response_format: {written}").parameters

    def test_of_two_forms_the_schema_wins_with_a_warning(self) -> None:
        assert codes(loaded("schema: {}\nresponse_format: json_object")) == ["two-spellings"]

    def test_providers_that_only_workers_know_are_no_mistake(self) -> None:
        assert step("model: lab/llama3\nfallback_models: [elsewhere:x, gpt-5]").provider == "lab"

    @pytest.mark.parametrize("action", sorted(MODEL_ACTIONS))
    def test_they_are_the_same_for_every_action(self, action: str) -> None:
        given = "schema: {}, tools: [terminal], parameters: {prompt: p, image: a.png}"
        text = f"steps: [{{id: x, action: {action}, {given}}}]"
        assert loads(text).plan.steps[0].parameters["tools"] == ["terminal.execute"]
