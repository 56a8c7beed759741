"""What may be set while a run goes on, and what may be shown of it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.variables import Setting, ids_of, is_place

NAME_CHARACTERS = 100
WORDS_CHARACTERS = 1_000
"""Longest `why` and `by`."""

LONGEST_SECONDS = 7 * 24 * 3600
"""Longest that a temporary variable holds."""

MASK = "•••"

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:password|passwd|secret|api_?key|(?:access|auth|refresh|bearer)_token|private_key)", re.IGNORECASE
)


def checked(plan: Plan, settings: Sequence[Setting], by: str, why: str) -> None:
    """Refuse what cannot be set.

    Raises:
        InputsInvalid: with every problem that was found, one line a name.
    """
    steps = ids_of(plan)
    problems = [
        f"variable {setting.name[:80]!r} {problem}" for setting in settings for problem in _wrong(setting, plan, steps)
    ]
    problems += [
        f"{what} has {len(words):,} characters; at most {WORDS_CHARACTERS:,} are kept"
        for what, words in (("why", why), ("by", by))
        if len(words) > WORDS_CHARACTERS
    ]
    problems += [
        f"{what} holds a credential; leave it out"
        for what, words in (("why", why), ("by", by))
        if shown(words) != words
    ]
    if problems:
        raise InputsInvalid(problems)


def _wrong(setting: Setting, plan: Plan, steps: Collection[str]) -> Iterator[str]:
    """What is wrong with one name and its value."""
    from orchestrator_client.loader import dialect

    name = setting.name
    reserved = (dialect.RUN_NAMES | dialect.BINDINGS | {"outputs", "state"}) - {"output_path"}
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS:
        yield f"is no name: write a letter, then letters, digits and _, at most {NAME_CHARACTERS} in all"
    elif name in reserved:
        yield "means something else in a template, which stays as it is; choose another name"
    elif name in steps:
        yield "is a step: what it left is a receipt, and stands; choose another name and read that one"
    elif name in (plan.channels or {}):
        yield "is a channel of the state, which is folded from what its nodes leave; choose another name"
    elif is_secret(name):
        yield "is called like a secret: those never enter the store; workers read them from their environment"
    if setting.within and not is_place(setting.within, plan):
        yield f"is to be set within {setting.within[:80]!r}; name an instance, or an item or pass: each[2], refine#3"
    if setting.seconds is not None and not 0 < setting.seconds <= LONGEST_SECONDS:
        yield f"is to hold for {setting.seconds:g} seconds; ask for more than 0 and at most {LONGEST_SECONDS:,}"
    if setting.seconds is not None and setting.within:
        yield "is to hold for a time and within a part of the run; only one of the two can be asked for"
    yield from _wrong_value(setting.value)


def _wrong_value(value: Json) -> Iterator[str]:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        yield f"cannot be kept as JSON: {error}"
        return
    if size > caps.VALUE_BYTES:
        yield f"has {size:,} bytes of JSON; at most {caps.VALUE_BYTES:,} are stored: write a file and set its path"
    if shown(text) != text:
        yield "holds a credential: those never enter the store; workers read them from their environment"


def is_secret(name: str) -> bool:
    """Whether a name says that its value is nobody's business."""
    return _SECRET_NAME.fullmatch(name) is not None


def shown(value: Json, name: str = "") -> Json:
    """The value with every credential in it masked, and all of it where its name says that it is one."""
    from orchestrator_client.loader.text.secret import masked

    if is_secret(name):
        return MASK
    match value:
        case str():
            return masked(value)
        case dict():
            return {str(shown(key)): shown(item, str(key)) for key, item in value.items()}
        case list():
            return [shown(item) for item in value]
        case _:
            return value
