"""Templates and conditions: rendered to JSON within the caps, or refused by one of our errors."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given

from orchestrator_client.contract import caps, template
from orchestrator_client.contract.errors import TemplateError
from tests.fuzz import fuzzed
from tests.fuzz.fragments import expressions, json_values, templates

SCOPE: dict[str, Any] = {"a": {"b": [1, 2]}, "n": 7, "x": "text", "l": [{"k": 1}, {"k": 2}], "none": None}


@fuzzed
@given(templates)
def test_a_template_renders_or_is_refused(text: str) -> None:
    assert all(isinstance(problem, TemplateError) for problem in template.check(text))
    with suppress(TemplateError):
        assert len(json.dumps(template.render(text, SCOPE))) <= 8 * caps.RENDERED_BYTES


@fuzzed
@given(expressions)
def test_a_condition_is_decided_or_refused(text: str) -> None:
    with suppress(TemplateError):
        template.references_of_condition(text)
        assert template.evaluate(text, SCOPE) in (True, False)


@fuzzed
@given(json_values)
def test_a_value_is_never_a_template(value: Any) -> None:
    assert repr(template.render("{{ v }}", {"v": value})) == repr(value)
