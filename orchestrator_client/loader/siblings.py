"""What steps that stand beside each other mean for each other: their order, who waits to be called, who may fail."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import OnFailure, Step
from orchestrator_client.contract.template import references, references_of_condition
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted

_TELLING = frozenset({"success", "return_code", "error"})
"""Fields that nobody asks for whose pipeline is to end with the failure."""

POLICIES = frozenset(
    {"on_failure", "continue_on_error", "on_error", "error_handlers", "fallback_value", "fallback_data"}
)
"""Keys with which a step says itself what its failure means."""


def behind(before: Step, step: Step) -> Step:
    """A step that comes after the one before it in the file."""
    return step.model_copy(update={"after": tuple(dict.fromkeys([*step.after, before.id]))})


def on_call(step: Step) -> Step:
    """A step that runs only where another one's failure leads to it."""
    return step.model_copy(update={"on_call": True})


def watched(steps: Iterable[Step], silent: dict[str, Place], problems: Problems) -> list[Step]:
    """The steps, and of those in `silent`, which say nothing of their failure: the run goes on after it where another
    step asks how they ended."""
    known = list(steps)
    watchers: dict[str, str] = {}
    for step in known:
        for name in _asked_for(step):
            watchers.setdefault(name, step.id)
    found = []
    for step in known:
        if step.id in silent and (watcher := watchers.get(step.id)) not in (None, step.id):
            message = (
                f"the run goes on after a failure of step {quoted(step.id)}, which {quoted(str(watcher))} asks for"
            )
            remedy = "write on_failure: continue to say so, or on_failure: fail to end the run there"
            problems.within(step.id).warn(Code.WATCHED, message, silent[step.id], remedy)
            step = step.model_copy(update={"on_failure": OnFailure.CONTINUE})
        found.append(step)
    return found


def _asked_for(step: Step) -> Iterable[str]:
    """Steps of which a condition or parameter asks whether they failed."""
    try:
        asked = references_of_condition(step.condition) if isinstance(step.condition, str) else []
        told = references(step.parameters)
    except TemplateError:
        return ()  # said where templates are checked
    failed = [one.name for one in asked if one.field == "status" and "failed" in str(step.condition)]
    return [*failed, *(one.name for one in (*asked, *told) if one.field in _TELLING)]
