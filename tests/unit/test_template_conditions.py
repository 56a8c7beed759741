"""Whether conditions hold, in every form in which existing pipelines write them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import TemplateError, TemplateSyntax, Unresolved
from orchestrator_client.contract.template import StepView, evaluate

SCOPE: dict[str, Any] = {
    "n": 3,
    "tags": ["x", "y"],
    "word": "false",
    "gen": StepView.of({"action": "generate_text", "result": "improve\n", "success": True}),
    "no": StepView.of({"action": "generate_text", "result": " No\n", "success": True}),
    "skipped": StepView.of({"status": "skipped", "reason": "r", "success": False}),
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (True, True),
        (False, False),
        (0, False),
        ("true", True),
        (" YES ", True),
        ("1", True),
        ("False", False),
        ("no ", False),
        ("0", False),
        ("", False),
        ("{{ n > 2 }}", True),
        ("{{ 'x' in tags and n < 3 }}", False),
        ("'x' in {{ tags }}", True),
        ("'z' in {{ tags }}", False),
        ("{{ n }} >= 3", True),
        ("{{ gen }} == 'improve'", True),
        ("'{{ gen.result }}' == 'improve\\n'", True),
        ("'n is {{ n }}!' == \"n is {{ n }}!\"", True),
        ("n >= 4", False),
        ("gen == 'improve' and not skipped", True),
        ("{{ gen }}", True),
        ("{{ no }}", False),
        ("{{ word }}", False),
        ("{{ tags }}", True),
        ("{{ skipped }}", False),
        ("{{ skipped.result | default(false) }}", False),
        ("{{ typo is defined }}", False),
        ("{{ typo and typo.result > 3 }}", False),
        ("{{ not typo }}", True),
        ("{% if n > 2 %} true {% else %} false {% endif %}", True),
        ("n > 2 ? false : true", False),
        ("{{ n > 5 ? false : true }}", True),
        ("{{ n }} > 2 and {{ {'a': {}} | length }} == 1", True),
    ],
)
def test_holds(condition: Any, holds: bool) -> None:
    assert evaluate(condition, SCOPE) is holds


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        ("{{ typo }}", Unresolved, "'typo' is not known"),
        ("typo == 3", Unresolved, "'typo' is not known"),
        ("{{ skipped.result == 'x' }}", Unresolved, "was skipped"),
        ("{{ n > }}", TemplateSyntax, "does not parse"),
        ("n > 2 3", TemplateSyntax, "does not parse"),
        ("it is {{ n }} of them", TemplateError, "came out as 'it is 3 of them', which is neither true nor false"),
        ("__import__('os').system('x')", TemplateError, "'__import__' is not known"),
        ("lambda: 1", TemplateSyntax, "does not parse"),
        ("[x for x in tags]", TemplateSyntax, "does not parse"),
        ("''.__class__", TemplateError, "not allowed in templates: attribute '__class__'"),
        ("n < 'a'", TemplateError, "cannot be rendered"),
    ],
)
def test_cannot_be_decided(condition: str, error: type[TemplateError], message: str) -> None:
    with pytest.raises(error) as raised:
        evaluate(condition, SCOPE)
    assert message in str(raised.value)
