"""When a step gives up and what that means for its run: `timeout`, `retry`, `max_retries`, `on_failure`."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator_client.contract import caps, template
from orchestrator_client.contract.plan import Json, OnFailure, Retry
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, kind_of

_LARGEST_FACTOR = 100.0


def timeout_seconds(node: Node | None, problems: Problems) -> float | None:
    """Seconds that one attempt may take, or None."""
    value = None if node is None else _number(node, "timeout", "seconds", 0, caps.TIMEOUT_SECONDS, problems)
    if node is not None and value == 0:
        problems.error(Code.OUT_OF_RANGE, "timeout must be more than 0 seconds", node.place)
        return None
    return value


def retry(step: Mapping, problems: Problems) -> Retry:
    """How often the step is tried. `retry: n` counts extra attempts, `max_retries: n` all of them."""
    short, total = step.get("retry"), step.get("max_retries")
    if short is not None and total is not None:
        problems.warn(Code.TWO_SPELLINGS, "both retry and max_retries", step.place_of("max_retries"), "retry is used")
    if isinstance(short, Mapping):
        return _retry_record(short, problems)
    if short is not None:
        extra = _whole(short, "retry", "extra attempts", 0, caps.ATTEMPTS - 1, problems)
        return Retry() if extra is None else Retry(attempts=extra + 1)
    if total is not None:
        return Retry(attempts=_whole(total, "max_retries", "attempts", 1, caps.ATTEMPTS, problems))
    return Retry()


def on_failure(step: Mapping, steps: Collection[str], problems: Problems) -> OnFailure:
    """What a failure means. A step's name is a jump, which comes later."""
    node, goes_on = step.get("on_failure"), _goes_on(step, problems)
    if node is None:
        return OnFailure.CONTINUE if goes_on else OnFailure.FAIL
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    if (policy := dialect.POLICIES.get(written.strip().lower())) is not None:
        return OnFailure(policy)
    if written in steps:
        dialect.not_yet(problems, f"on_failure: {quoted(written)}, a jump to a step,", node.place)
    else:
        remedy = problems.did_you_mean(written, dialect.POLICIES) or "write fail, continue or skip"
        problems.error(Code.WRONG_VALUE, f"on_failure is {quoted(written)}", node.place, remedy)
    return OnFailure.FAIL


def _goes_on(step: Mapping, problems: Problems) -> bool:
    """`continue_on_error: true`, the older spelling of `on_failure: continue`."""
    node = step.get("continue_on_error")
    if node is None:
        return False
    if not isinstance(node, Scalar) or not isinstance(node.value, bool):
        message = f"continue_on_error must be true or false, found {kind_of(node)}"
        problems.error(Code.WRONG_TYPE, message, node.place)
        return False
    return node.value


def _retry_record(node: Mapping, problems: Problems) -> Retry:
    """The long form of `retry`, in which the attempts are all of them."""
    values: dict[str, Json] = {}
    for key, entry in node.entries.items():
        match dialect.RETRY_KEYS.get(key):
            case None:
                remedy = problems.did_you_mean(key, dialect.RETRY_KEYS)
                problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in retry", entry.key.place, remedy)
            case "attempts":
                values["attempts"] = _whole(entry.value, key, "attempts", 1, caps.ATTEMPTS, problems)
            case "factor":
                values["factor"] = _number(entry.value, key, "times", 1, _LARGEST_FACTOR, problems)
            case field:
                values[field] = _number(entry.value, key, "seconds", 0, caps.TIMEOUT_SECONDS, problems)
    return Retry(**{field: value for field, value in values.items() if value is not None})


def _whole(node: Node, key: str, unit: str, low: int, high: int, problems: Problems) -> int | None:
    """A whole number within its range, or None with the reason added."""
    number = _number(node, key, unit, low, high, problems)
    if number is None or number == int(number):
        return None if number is None else int(number)
    problems.error(Code.WRONG_TYPE, f"{key} must be a whole number of {unit} found {number}", node.place)
    return None


def _number(node: Node, key: str, unit: str, low: float, high: float, problems: Problems) -> float | None:
    """A number of the file within its range, or None with the reason added."""
    value = _spelled(node)
    if value is None:
        problems.error(
            Code.WRONG_TYPE, f"{key} must be a number of {unit}, found {kind_of(node)}", node.place, _hint(node)
        )
    elif not low <= value <= high:
        message = f"{key} must be {low:g} to {high:g} {unit}, found {value:g}"
        problems.error(Code.OUT_OF_RANGE, message, node.place)
        return None
    return value


def _spelled(node: Node) -> float | None:
    """The number that a scalar is, or that its text spells: `"5"` is 5."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool) or node.value is None:
        return None
    try:
        return float(node.value)
    except ValueError:
        return None


def _hint(node: Node) -> str:
    """What to write instead of something that is no number."""
    if isinstance(node, Scalar) and template.is_template(node.text):
        return "a template cannot stand here: the plan must say it"
    return "write a plain number, such as 90"
