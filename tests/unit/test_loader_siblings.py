"""Steps whose failure the pipeline itself looks at."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.plan import OnFailure
from orchestrator_client.loader import loads

FILE = """
steps:
- {{id: build, tool: terminal, parameters: {{command: make}}{policy}}}
- {{id: mend, tool: terminal, dependencies: [build], condition: "{condition}", parameters: {{command: date}}}}
"""


def read(condition: str, policy: str = "") -> tuple[OnFailure, list[str]]:
    """The policy of `build`, and the codes of what a person is warned of."""
    loaded = loads(FILE.format(condition=condition, policy=policy))
    return loaded.plan.step_by_id["build"].on_failure, [problem.code for problem in loaded.warnings]


@pytest.mark.parametrize(
    "condition",
    [
        "{{ not build.success }}",
        "{{ build.return_code != 0 }}",
        "{{ build.error is defined }}",
        "{{ build.status == 'failed' }}",
    ],
)
def test_a_failure_that_a_condition_asks_for_does_not_end_the_run(condition: str) -> None:
    assert read(condition) == (OnFailure.CONTINUE, ["watched"])


@pytest.mark.parametrize("condition", ["{{ build.status == 'completed' }}", "{{ 'ok' in build.stdout }}", "true"])
def test_a_condition_that_asks_for_something_else_changes_nothing(condition: str) -> None:
    assert read(condition) == (OnFailure.FAIL, [])


def test_a_report_that_tells_of_a_failure_is_written_after_it() -> None:
    told = "{{ build.return_code }}"
    loaded = loads(FILE.format(condition="true", policy="").replace("command: date", f"command: 'echo {told}'"))
    assert loaded.plan.step_by_id["build"].on_failure is OnFailure.CONTINUE


@pytest.mark.parametrize("policy", ["fail", "skip", "continue"])
def test_what_a_step_says_itself_counts(policy: str) -> None:
    assert read("{{ build.success }}", f", on_failure: {policy}") == (OnFailure(policy), [])
