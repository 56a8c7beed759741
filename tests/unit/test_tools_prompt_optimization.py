"""Prompts by fixed rules: shorter where something can go, and the same in every word that carries meaning."""

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))


def optimized(prompt: str, **parameters: object) -> dict[str, object]:
    result = invoke("prompt-optimization.execute", {"prompt": prompt, **parameters}, CONTEXT)
    assert isinstance(result, ToolResult)
    return result.output


def test_a_prompt_without_slack_stays_as_it_is():
    prompt = "List three rivers:\n  - name\n\n  - length"
    assert optimized(prompt) == {
        "original_prompt": prompt,
        "optimized_prompt": prompt,
        "applied_optimizations": [],
        "metrics": {
            "original_words": 7,
            "optimized_words": 7,
            "original_tokens": 11,
            "optimized_tokens": 11,
            "reduction_percentage": 0.0,
        },
        "recommendations": [],
    }


def test_blanks_and_empty_lines_go():
    made = optimized("One   two \t\n\n\n\n  indented  here ")
    assert made["optimized_prompt"] == "One two\n\n  indented here"
    assert made["applied_optimizations"] == ["single blanks", "single empty lines"]
    assert made["metrics"]["original_words"] == made["metrics"]["optimized_words"]
    assert made["metrics"]["optimized_tokens"] < made["metrics"]["original_tokens"]


def test_code_in_a_fence_is_kept():
    code = "```python\nx  =  1   \n\n\n\ny = 2\n```"
    assert optimized(f"Explain   this:\n{code}\nAnd  more")["optimized_prompt"] == f"Explain this:\n{code}\nAnd more"
    assert optimized("a  b\n```\nopen   end")["optimized_prompt"] == "a b\n```\nopen   end"


def test_phrases_are_shortened_only_for_brevity():
    prompt = "In order to win, play due to the fact that it is fun, in order total."
    assert optimized(prompt)["optimized_prompt"] == prompt
    made = optimized(prompt, optimization_goals=["Brevity"])
    assert made["optimized_prompt"] == "To win, play because it is fun, in order total."
    assert made["applied_optimizations"] == ["shorter phrases"]
    assert made["recommendations"] == []


def test_other_goals_are_answered_by_a_recommendation():
    made = optimized("Draw", optimization_goal="artistic_quality", model="openai/x")
    assert made["recommendations"] == ["for artistic_quality, have a model rewrite the prompt"]
    assert made["model"] == "openai/x"


def test_a_goal_that_is_no_word_is_refused():
    with pytest.raises(ParametersInvalid, match="must be a word or a list of words"):
        optimized("x", optimization_goals=[1])


def test_an_empty_prompt_is_reduced_by_nothing():
    assert optimized("")["metrics"]["reduction_percentage"] == 0.0
