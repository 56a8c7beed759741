"""Plan files, and values given from Python."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client.contract.errors import InputsInvalid, PlanInvalid
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import Submission
from orchestrator_client.contract.submission import submit_command
from orchestrator_client.loader import loads, problems
from tests.fuzz import fuzzed
from tests.fuzz.fragments import plans, python_values

PLAN = loads(
    "inputs: {n: {type: integer}, s: {type: string}, l: {type: array}, o: {type: object}, b: {type: boolean},"
    " c: {choices: [1, a]}}\nsteps: [{id: a, tool: terminal, parameters: {command: date}}]"
).plan


@fuzzed
@given(st.one_of(plans, st.text(max_size=80), st.binary(max_size=80)))
def test_a_file_loads_or_is_refused(text: str | bytes) -> None:
    found = []
    try:
        plan = loads(text).plan
        assert Plan.from_json(plan.to_json()) == plan
    except PlanInvalid as error:
        found = error.problems
        assert found
    assert len(found) <= problems.MOST
    for problem in found:
        assert problem.message.isprintable()
        assert problem.remedy.isprintable()
        assert len(problem.message) <= 10 * problems.MESSAGE_CHARACTERS  # an escape takes ten characters


@fuzzed
@given(st.dictionaries(st.sampled_from(["n", "s", "l", "o", "b", "c", "other"]), python_values))
def test_inputs_bind_or_are_refused(given_inputs: dict[str, Any]) -> None:
    try:
        submission = Submission(run="r", plan=PLAN, inputs=PLAN.bind(given_inputs))
        command = submit_command(submission, 60)
        assert json.loads(str(command.args[6])) == submission.inputs
    except InputsInvalid as error:
        assert 0 < max(map(len, error.problems)) < 400  # noqa: PT017 - they may also bind
