"""A prompt made shorter by fixed rules that leave its meaning alone. Rewriting takes a model, and is not done here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator_client.contract.catalog.aids import OptimizationParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.tokens import text_tokens
from orchestrator_worker.tools.base import ToolContext, ToolResult

WORDY: Mapping[str, str] = {
    "at this point in time": "now",
    "due to the fact that": "because",
    "for the purpose of": "for",
    "in order to": "to",
    "in the event that": "if",
    "is able to": "can",
    "with regard to": "about",
}
"""Phrases -> what says the same, applied where `brevity` is asked for."""

BREVITY = "brevity"
"""The one goal that fixed rules can serve."""

# A fence that is never closed reaches to the end, as Markdown has it.
_FENCE = re.compile(r"(^```.*?(?:^```[^\n]*$|\Z))", re.MULTILINE | re.DOTALL)
_WORDY = re.compile(r"\b(" + "|".join(map(re.escape, WORDY)) + r")\b", re.IGNORECASE)


def execute(_context: ToolContext, parameters: OptimizationParameters) -> ToolResult:
    """Shorten: `{original_prompt, optimized_prompt, applied_optimizations, metrics, recommendations}`, and the model.

    Blanks at the ends of lines, repeated blanks within them and repeated empty lines go always; wordy phrases go
    where `brevity` is a goal. What stands in a code fence is kept as it is. Other goals are answered by a
    recommendation. `metrics` counts words, and estimates tokens as limits do.

    Raises:
        ParametersInvalid: a goal is no word.
    """
    goals = _goals(parameters)
    rules = {**_RULES, "shorter phrases": _shorter_phrases} if BREVITY in goals else _RULES
    text = parameters.prompt.strip()
    applied: list[str] = []
    for name, rule in rules.items():
        shortened = _outside_fences(text, rule).strip()
        if shortened != text:
            text = shortened
            applied.append(name)
    output = {
        "original_prompt": parameters.prompt,
        "optimized_prompt": text,
        "applied_optimizations": applied,
        "metrics": _metrics(parameters.prompt, text),
        "recommendations": [f"for {goal}, have a model rewrite the prompt" for goal in goals if goal != BREVITY],
    }
    return ToolResult({**output, "model": parameters.model} if parameters.model else output)


def _goals(parameters: OptimizationParameters) -> list[str]:
    """The goals as words, each once."""
    given = parameters.optimization_goals or []
    goals = given if isinstance(given, list) else [given]
    if not all(isinstance(goal, str) for goal in goals):
        raise ParametersInvalid("prompt-optimization: 'optimization_goals' must be a word or a list of words")
    return list(dict.fromkeys(goal.strip().lower() for goal in goals))


def _metrics(before: str, after: str) -> dict[str, int | float]:
    """Words and estimated tokens of both, and the part of the tokens that went, in percent."""
    tokens, left = text_tokens(before), text_tokens(after)
    return {
        "original_words": len(before.split()),
        "optimized_words": len(after.split()),
        "original_tokens": tokens,
        "optimized_tokens": left,
        "reduction_percentage": round(100 * (tokens - left) / tokens, 2) if tokens else 0.0,
    }


def _outside_fences(text: str, rule: Callable[[str], str]) -> str:
    """Apply a rule to all but fenced code, whose blanks mean something."""
    return "".join(part if part.startswith("```") else rule(part) for part in _FENCE.split(text))


def _single_blanks(text: str) -> str:
    """One blank between words, and none at the end of a line.

    Indents stay: they may be the form of a list or of data.
    """
    return re.sub(r"(?<=\S)[ \t]+(?=\S)", " ", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))


def _single_empty_lines(text: str) -> str:
    """One empty line parts paragraphs as well as several do."""
    return re.sub(r"\n{3,}", "\n\n", text)


def _shorter_phrases(text: str) -> str:
    """Replace wordy phrases; a capital at the beginning of one goes over to what follows."""
    return _WORDY.sub(_shorter, text)


def _shorter(found: re.Match[str]) -> str:
    """What says the same, with the capital of the phrase."""
    short = WORDY[found[1].lower()]
    return short.capitalize() if found[1][0].isupper() else short


# In the order in which they are applied and named.
_RULES: Mapping[str, Callable[[str], str]] = {
    "single blanks": _single_blanks,
    "single empty lines": _single_empty_lines,
}
