"""The tree of errors: what each carries, says, and stands under."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from orchestrator_client.contract import errors
from orchestrator_client.contract.errors import (
    ConfigInvalid,
    FailureKind,
    InputsInvalid,
    ModelFailed,
    NoQuestion,
    OrchestratorError,
    PlanInvalid,
    Problem,
    RunConflict,
    RunFailed,
    RunNotFound,
    StepError,
    TemplateError,
)
from orchestrator_client.contract.limits import Dimension, RateLimit

CLASSES: list[type[OrchestratorError]] = [
    found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, OrchestratorError)
]

PROBLEM = Problem("unknown-key", "unknown key 'stpes'", line=3, column=5, remedy="did you mean 'steps'?", step="s")


def example(of: type[OrchestratorError]) -> OrchestratorError:
    """One of each, with every argument given, so that none can be lost on the way."""
    if issubclass(of, TemplateError):
        return of("'x' is not there", 7)
    special: dict[type[OrchestratorError], tuple[object, ...]] = {
        PlanInvalid: ([PROBLEM], "flow.yaml"),
        ConfigInvalid: ("orchestrator.toml", ["limits.openai: expected a mapping"]),
        InputsInvalid: (["input 'a': expected integer", "input 'b' is required"],),
        RunNotFound: ("r_1",),
        RunConflict: ("key", "r_1"),
        NoQuestion: ("r_1", "ask", "it asks nothing"),
        RunFailed: ("r_1", "step 'a' failed"),
        ModelFailed: ("429", False, 2.5, FailureKind.RATE_LIMIT, (RateLimit(Dimension.REQUESTS, 60),)),
    }
    return of(*special.get(of, ("what happened, and what to do",)))


@pytest.mark.parametrize("of", CLASSES)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_an_error_arrives_as_it_left(of: type[OrchestratorError], carry: object) -> None:
    sent = example(of)
    assert callable(carry)
    arrived = carry(sent)
    assert type(arrived) is of
    assert str(arrived) == str(sent) != ""
    assert vars(arrived) == vars(sent)
    assert arrived.args == sent.args


@pytest.mark.parametrize("of", CLASSES)
def test_the_message_names_what_the_error_is_about(of: type[OrchestratorError]) -> None:
    error = example(of)
    for name, value in vars(error).items():
        if name in ("run", "key", "reason", "message", "file"):
            assert str(value) in str(error)


def test_which_errors_another_attempt_may_mend() -> None:
    retryable = {of.__name__ for of in CLASSES if issubclass(of, StepError) and of("m").retryable}
    assert retryable == {"ToolFailed", "ModelFailed", "StepTimeout", "WorkerLost"}


def test_each_bad_line_of_a_configuration_names_its_file() -> None:
    invalid = ConfigInvalid("orchestrator.toml", ["models: expected a mapping", "limits: unknown key"])
    assert str(invalid) == "orchestrator.toml: models: expected a mapping\norchestrator.toml: limits: unknown key"


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_holds_for_every_call_is_weather(kind: FailureKind) -> None:
    assert kind.weather is (kind in (FailureKind.RATE_LIMIT, FailureKind.OVERLOAD))


def test_a_model_failure_says_for_itself_whether_to_try_again() -> None:
    assert not ModelFailed("400", retryable=False).retryable
    assert ModelFailed("429", retry_after_seconds=3.0).retry_after_seconds == 3.0
    assert ModelFailed("500").retry_after_seconds is None


# --- problems of a plan ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (PROBLEM, "f.yaml:3:5  unknown key 'stpes'; did you mean 'steps'?"),
        (Problem("c", "broken"), "f.yaml  broken"),
        (Problem("c", "odd", line=1, column=2, warning=True), "f.yaml:1:2  warning: odd"),
        (Problem("c", "broken", remedy="mend it"), "f.yaml  broken; mend it"),
    ],
)
def test_a_problem_as_a_person_meets_it(problem: Problem, shown: str) -> None:
    assert problem.render("f.yaml") == shown


def test_a_problem_as_a_program_meets_it() -> None:
    assert Problem(**PROBLEM.as_dict()) == PROBLEM  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "last"), [(20, "f  p19"), (21, "and 1 more"), (500, "and 480 more")])
def test_at_most_twenty_problems_are_shown_and_the_rest_counted(count: int, last: str) -> None:
    invalid = PlanInvalid([Problem("c", f"p{at}") for at in range(count)], "f")
    lines = str(invalid).splitlines()
    assert lines[:20] == [f"f  p{at}" for at in range(20)]
    assert lines[-1] == last
    assert len(lines) <= 21
    assert len(invalid.problems) == count


def test_each_bad_input_has_a_line() -> None:
    assert str(InputsInvalid(["one", "two"])) == "one\ntwo"


# --- the drawing -----------------------------------------------------------------------------------------------------


def drawn() -> dict[str, str | None]:
    """Class -> the class that it hangs from, as the module's docstring draws them."""
    above: dict[int, str] = {}
    parents: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)(?:\s{2,}|$)", line)
        if found:
            depth = len(line[: found.start(2)]) // 4
            above[depth] = found[2]
            parents[found[2]] = above.get(depth - 1)
    return parents


def test_the_tree_at_the_top_of_the_module_is_the_tree_of_its_classes() -> None:
    declared = {of.__name__: of.__bases__[0].__name__ for of in CLASSES if of is not OrchestratorError}
    assert drawn() == {"OrchestratorError": None, **declared}
