"""What hostile and clumsy texts are made of."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from orchestrator_client.contract.template import filters
from orchestrator_client.loader import dialect

SCALARS = [*"{}[]'\"\\\n\t?#a1~:-|>&*!%@`,\x85\u2028\ud800é", "no", "1e400", ".nan", "0o17", "9" * 40, "null", "true"]
YAML = ["&a ", "*a", "<<: ", "!!python/name:os", "|\n", ">\n", "  ", "? ", "---\n", "%YAML", "\r", "\0", "\x1b[31m"]
STEPS = ["steps:\n", "- id: a\n", "  tool: terminal\n", "  parameters: {command: date}\n", "  steps:\n  - id: b\n"]
KEYS = [f"  {key}: " for key in sorted(dialect.STEP_KEYS)] + [f"{key}: " for key in sorted(dialect.TOP_KEYS)]
TEMPLATES = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{# ",
    " #}",
    "steps.a",
    "<AUTO>",
    "</AUTO>",
    "$item",
    "${x}",
    "{{ file:x }}",
    "<< x >>",
]
EXPRESSIONS = [
    *("a", "n", "x", "[1]", "{1: 2}", "'s'", "10**9", "range(99999)", "now()", "loop", "self", "none", "1.5"),
    *(
        " + ",
        " * ",
        " ** ",
        " % ",
        " ~ ",
        " in ",
        " and ",
        " not ",
        " if ",
        " else ",
        " is defined",
        "(",
        ")",
        ".",
        ",",
    ),
    *(
        "__class__",
        "[0]",
        "[1:9]",
        ".format(",
        ".items()",
        "for i in ",
        "endfor",
        "if ",
        "endif",
        "set y = ",
        "macro m()",
    ),
    *(f" | {name}" for name in sorted(filters.filters())),
]

plans = st.lists(st.sampled_from([*SCALARS, *YAML, *STEPS, *KEYS, *TEMPLATES]), max_size=40).map("".join)
expressions = st.lists(st.sampled_from([*EXPRESSIONS, *SCALARS]), max_size=12).map("".join)
templates = st.one_of(
    expressions.map("{{{{ {} }}}}".format),
    st.lists(st.sampled_from([*TEMPLATES, *EXPRESSIONS, *SCALARS]), max_size=25).map("".join),
)


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | leaves | st.text(max_size=20) | templates,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )


json_values = _nested(st.floats(allow_nan=False, allow_infinity=False))
python_values = _nested(st.floats())
"""With the numbers that JSON does not have."""
