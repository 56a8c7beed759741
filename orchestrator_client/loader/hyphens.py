"""Steps with a hyphen in their id: in a template `fetch-data.result` would be a subtraction, and nobody means one.

It is written as `steps['fetch-data'].result` once, when the file is read, where a step has that id and the parts of it
are not names themselves.
"""

from __future__ import annotations

import re

from orchestrator_client.loader import dialect
from orchestrator_client.loader.references import Scope

_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?<![\w.$-])([A-Za-z]\w*(?:-\w+)+)""")
"""A text in quotes, which is left alone, or a word with hyphens that is no field of another."""


def spelled(piece: str, scope: Scope) -> str:
    """A template with such steps as it can read them."""
    return _WORD.sub(lambda found: _step(found, scope), piece) if "-" in piece else piece


def _step(found: re.Match[str], scope: Scope) -> str:
    """What stands for one word; itself if it is no step, or may well be a subtraction."""
    word = found[1]
    if word is None or word not in scope.steps or all(_is_name(part, scope) for part in word.split("-")):
        return found[0]
    return f"steps['{word}']"


def _is_name(part: str, scope: Scope) -> bool:
    """Whether a template could read this part by itself."""
    names = (scope.steps, scope.inputs, scope.bound, scope.namespaces, dialect.RUN_NAMES)
    return part.isdecimal() or any(part in known for known in names)
