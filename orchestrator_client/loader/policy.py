"""When a step gives up and what that means for its run: `timeout`, `retry`, `max_retries`, `on_failure`, and kin."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from orchestrator_client.contract import caps, catalog, template
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.plan import UNTRUSTED, Json, OnFailure, OnLost, Retry
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, is_null, kind_of

_LARGEST_FACTOR = 100.0
_COMPARED = 1000
"""Step ids that a misspelt policy is compared with."""

ANY_ERROR = "*"


def timeout_seconds(node: Node | None, problems: Problems) -> float | None:
    """Seconds that one attempt may take, or None."""
    value = None if node is None else number(node, "timeout", "seconds", 0, caps.TIMEOUT_SECONDS, problems)
    if node is not None and value == 0:
        problems.error(Code.OUT_OF_RANGE, "timeout must be more than 0 seconds", node.place)
        return None
    return value


def retry(step: Mapping, problems: Problems) -> Retry:
    """How often the step is tried, for which errors, and how long it waits between.

    `retry: n` counts extra attempts, `max_retries: n` all of them.
    """
    written = [key for key in ("retry", "retry_config", "max_retries") if step.get(key) is not None]
    for key in written[1:]:
        message = f"both {written[0]} and {key}"
        problems.warn(Code.TWO_SPELLINGS, message, step.place_of(key), f"{written[0]} is used")
    key = written[0] if written else ""
    node = step.get(key)
    if isinstance(node, Mapping) and key != "max_retries":
        return _retry_record(node, key, _growth(step.get("backoff_strategy"), problems), problems)
    attempts = None
    if node is not None and key == "retry":
        extra = whole(node, key, "extra attempts", 0, caps.ATTEMPTS - 1, problems)
        attempts = None if extra is None else extra + 1
    elif node is not None:
        attempts = whole(node, key, "attempts", 1, caps.ATTEMPTS, problems)
    return _made({"attempts": attempts, **_growth(step.get("backoff_strategy"), problems)})


def on_failure(step: Mapping, steps: Collection[str], problems: Problems) -> tuple[OnFailure, Scalar | None]:
    """What a failure means, and the step that it jumps to, if it names one."""
    node, goes_on = step.get("on_failure"), _goes_on(step, problems)
    if node is None:
        return OnFailure.CONTINUE if goes_on else OnFailure.FAIL, None
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    if (policy := dialect.POLICIES.get(written.strip().lower())) is not None:
        return OnFailure(policy), None
    if isinstance(node, Scalar) and written.strip() in steps:
        return OnFailure.CONTINUE, node
    remedy = problems.did_you_mean(written, [*dialect.POLICIES, *islice(steps, _COMPARED)])
    remedy = remedy or "write fail, continue, skip, or the id of a step"
    problems.error(Code.WRONG_VALUE, f"on_failure is {quoted(written)}", node.place, remedy)
    return OnFailure.FAIL, None


def on_lost(step: Mapping, problems: Problems) -> OnLost | None:
    """What becomes of the step if its worker dies in the middle; None where the tool is to say."""
    word = _one_of(step, "on_lost", tuple(OnLost), problems)
    return None if word is None else OnLost(word)


def level(step: Mapping, uses: str, problems: Problems) -> Level | None:
    """How far the step trusts its tool: as the catalogue does, or less."""
    word = _one_of(step, "level", tuple(Level), problems)
    if word is None:
        return None
    written, own = Level(word), catalog.TOOLS[uses].level if uses in catalog.TOOLS else Level.TRUSTED
    if written.stricter(own) is not written:
        remedy = "only the fleet may, with levels in [tools] of orchestrator.toml"
        message = f"{uses} is {own}, and a step cannot trust it more"
        problems.error(Code.WRONG_VALUE, message, step.place_of("level"), remedy)
    return written


def accepts(step: Mapping, problems: Problems) -> tuple[str, ...]:
    """What may reach the step though it looks doubtful."""
    node = step.get("accepts")
    named = texts(node, "accepts", problems) if node is not None else ()
    for name in named:
        if name != UNTRUSTED:
            message = f"accepts names {quoted(name)}"
            problems.error(Code.WRONG_VALUE, message, step.place_of("accepts"), f"write accepts: [{UNTRUSTED}]")
    return named


def _one_of(step: Mapping, key: str, known: Collection[str], problems: Problems) -> str | None:
    """The word of a key that has few, or None with the reason added."""
    node = step.get(key)
    if node is None:
        return None
    written = node.text.strip().lower() if isinstance(node, Scalar) else kind_of(node)
    if written in set(known):
        return written
    remedy = problems.did_you_mean(written, known) or f"write {' or '.join(known)}"
    problems.error(Code.WRONG_VALUE, f"{key} is {quoted(written)}", node.place, remedy)
    return None


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


def _retry_record(node: Mapping, what: str, growth: dict[str, Json], problems: Problems) -> Retry:
    """The long form of `retry`, in which the attempts are all of them. `growth` is the step's own way to wait."""
    values: dict[str, Json] = {**growth}
    for key, entry in node.entries.items():
        if is_null(entry.value):
            continue
        match dialect.RETRY_KEYS.get(key):
            case None:
                remedy = problems.did_you_mean(key, dialect.RETRY_KEYS)
                message = f"unknown key {quoted(key)} in {what}"
                problems.error(Code.UNKNOWN_KEY, message, entry.key.place, remedy)
            case "attempts":
                values["attempts"] = whole(entry.value, key, "attempts", 1, caps.ATTEMPTS, problems)
            case "factor":
                values["factor"] = number(entry.value, key, "times", 1, _LARGEST_FACTOR, problems)
            case "strategy":
                values |= _growth(entry.value, problems)
            case "jitter":
                values["jitter"] = _jitter(entry, problems)
            case "errors":
                values["errors"] = _errors(entry, problems)
            case field:
                values[field] = number(entry.value, key, "seconds", 0, caps.TIMEOUT_SECONDS, problems)
    return _made(values)


def _made(values: dict[str, Json]) -> Retry:
    """The record, with its own defaults for what is not said; waits that grow evenly grow by the first of them."""
    known = {field: value for field, value in values.items() if value is not None}
    if known.pop("linear", False):
        known["growth_seconds"] = known.get("initial_seconds", Retry().initial_seconds)
    return Retry(**known)


def _growth(node: Node | None, problems: Problems) -> dict[str, Json]:
    """How the waits grow, from the name of a way to wait, or from the number itself."""
    if node is None:
        return {}
    if _spelled(node) is not None:
        return {"factor": number(node, "backoff", "times", 1, _LARGEST_FACTOR, problems)}
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    name = written.strip().lower().removesuffix("_backoff")
    if name not in dialect.BACKOFFS:
        remedy = problems.did_you_mean(name, dialect.BACKOFFS) or f"write one of {', '.join(dialect.BACKOFFS)}"
        problems.error(Code.WRONG_VALUE, f"no way to wait {quoted(written)}", node.place, remedy)
        return {}
    return {"factor": dialect.BACKOFFS[name], "linear": name == "linear"}


def _jitter(entry: Entry, problems: Problems) -> bool:
    """Whether a part of each wait is left to chance; a number says how much in existing files, and is taken as yes."""
    node = entry.value
    if isinstance(node, Scalar) and (isinstance(node.value, bool) or _spelled(node) is not None):
        return node.value if isinstance(node.value, bool) else bool(_spelled(node))
    message = f"jitter must be true or false, found {kind_of(node)}"
    problems.error(Code.WRONG_TYPE, message, entry.key.place)
    return True


def _errors(entry: Entry, problems: Problems) -> tuple[str, ...]:
    """Errors that are worth another attempt; none where any is."""
    names = texts(entry.value, entry.key.text, problems)
    return () if ANY_ERROR in names else names


def texts(node: Node, key: str, problems: Problems) -> tuple[str, ...]:
    """A list of words or numbers as texts, or one of them; what is none is added."""
    found = []
    for item in node.items if isinstance(node, Sequence) else (node,):
        if isinstance(item, Scalar) and item.value is not None and not isinstance(item.value, bool):
            found.append(item.text)
        else:
            problems.error(Code.WRONG_TYPE, f"{key} must be a list of texts, found {kind_of(item)}", item.place)
    return tuple(found)


def whole(node: Node, key: str, unit: str, low: int, high: int, problems: Problems) -> int | None:
    """A whole number within its range, or None with the reason added."""
    value = number(node, key, unit, low, high, problems)
    if value is None or value == int(value):
        return None if value is None else int(value)
    problems.error(Code.WRONG_TYPE, f"{key} must be a whole number of {unit}, found {value:g}", node.place)
    return None


def number(node: Node, key: str, unit: str, low: float, high: float, problems: Problems) -> float | None:
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
