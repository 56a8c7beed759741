"""What a run is allowed by whoever submits it: less than its plan, never more, and for the runs that it starts too."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from tests.fleet import InProcessFleet


def said(id: str, uses: str, **parameters: str) -> Step:
    return Step(id=id, kind=StepKind.TOOL, uses=uses, parameters=parameters, on_failure=OnFailure.CONTINUE)


STEPS = (said("count", "text.count_words", text="two words"), said("echo", "text.echo", text="a"))


@pytest.mark.parametrize(
    ("by_plan", "by_run", "refused"),
    [
        (None, None, {}),
        (None, ["text.*"], {}),
        (None, ["text.count_words"], {"echo": "run"}),
        (("text.echo",), ["text.count_words"], {"count": "plan", "echo": "run"}),
        (("text.echo",), ["*"], {"count": "plan"}),
        (None, [], {"count": "run", "echo": "run"}),
    ],
)
def test_both_must_allow_a_tool(
    fleet: InProcessFleet, by_plan: tuple[str, ...] | None, by_run: list[str] | None, refused: dict[str, str]
) -> None:
    run = fleet.client.submit(Plan(id="allowed", steps=STEPS, allow_tools=by_plan), allow_tools=by_run)
    fleet.engine.scheduler.start(run.id)
    document = fleet.finish(run)
    errors = {step.id: step.error for step in document.steps.values() if step.error}
    assert errors.keys() == refused.keys()
    for step, who in refused.items():
        assert f"is not one that the {who} allows; its allow_tools: " in str(errors[step])
    assert document.allow_tools == (None if by_run is None else tuple(by_run))
