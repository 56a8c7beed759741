"""B1 to B30: the plan file."""

from __future__ import annotations

from tests.corpus.row import GOOD, TERMINAL, Case, Row, step

LIMITS = "unit/test_loader_limits.py::"


def laughs() -> str:
    """Nine levels of nine aliases each: 9⁹ nodes, were they ever expanded."""
    levels = [f"{'abcdefghij'[i]}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(["a: &l0 [x]", *levels])


ROWS = (
    Row(
        "B1",
        "an empty file, or only comments",
        (
            Case("", "empty", words="the plan is empty; the smallest valid one is: steps:"),
            Case("# a\n\n# b\n", "empty", words="the smallest valid one is"),
        ),
    ),
    Row(
        "B2",
        "a scalar or a list at the top",
        (
            Case("hello", "wrong-type", (1, 1), "expected a mapping at the top, found the text 'hello'"),
            Case("- a\n- b\n", "wrong-type", (1, 1), "expected a mapping at the top, found a list"),
        ),
    ),
    Row("B3", "two documents", (Case(f"{GOOD}---\n{GOOD}", "documents", (3, 1), "put each plan in its own file"),)),
    Row("B4", "indentation by tabs", (Case("steps:\n\t- id: a\n", "yaml", (2, 1), "tab used for indentation"),)),
    Row(
        "B5",
        "control characters and lone carriage returns",
        (
            Case("steps: \0", "control-character", (1, 8), "U+0000"),
            Case(f"{GOOD}name: \x1b[31m", "control-character", (3, 7), "U+001B"),
            Case("name: a\rb: 1", "control-character", (1, 8), "a lone carriage return"),
        ),
    ),
    Row(
        "B6",
        "another encoding than UTF-8",
        (
            Case("name: caf\xe9\n".encode("latin-1"), "encoding", (1, 10), "looks like Latin-1 or Windows-1252"),
            Case(GOOD.encode("utf-16"), "encoding", (1, 1), "looks like UTF-16"),
            Case(GOOD.encode("utf-8-sig")),
        ),
    ),
    Row(
        "B7",
        "a key twice in a mapping",
        (
            Case(f"{GOOD}name: a\nname: b\n", "duplicate-key", (4, 1), "'name' stands here and on line 3"),
            Case(
                step("tool: terminal, parameters: {command: date, command: rm}"),
                "duplicate-key",
                (3, 55),
                "this one counts",
                warning=True,
            ),
        ),
        because="existing files have a parameter of a step twice and mean the later one; a warning names both lines",
    ),
    Row(
        "B8",
        "a step's id twice",
        (Case(GOOD + GOOD.splitlines()[1] + "\n", "duplicate-id", (3, 8), "'fetch' stands here and on line 2"),),
    ),
    Row(
        "B9",
        "a tag that builds a Python object",
        (
            Case(f"name: !!python/object/apply:os.system [date]\n{GOOD}", "tag", (1, 7), "is not allowed in a plan"),
            Case(f"name: !!python/name:os.system\n{GOOD}", "tag", (1, 7), "python/name:os.system"),
        ),
    ),
    Row(
        "B10",
        "other tags",
        tuple(
            Case(f"metadata: {{x: !!{tag}}}\n{GOOD}", "tag", (1, 15), "a plan holds what JSON can say")
            for tag in ("binary aGk=", "set {a: null}", "omap [a: 1]", "timestamp 2024-01-01")
        ),
    ),
    Row(
        "B11",
        "aliases in aliases (billion laughs)",
        (Case(laughs(), "anchor", (1, 4), "plans are written out in full"),),
        because="anchors and aliases are refused whole, so that none is ever expanded",
    ),
    Row("B12", "an alias to itself", (Case(f"{GOOD}name: &a [*a]\n", "alias", (3, 11), "alias 'a'"),)),
    Row(
        "B13",
        "a merge key that smuggles something into a step",
        (Case("steps:\n- <<: {command: rm}\n  id: a\n", "merge-key", (2, 3), "write the merged keys out"),),
        because="merge keys are refused everywhere, not in some fields only",
    ),
    Row(
        "B14",
        "nested 20,000 deep",
        (
            Case("a: " + "[" * 20_000, "too-deep", (1, 67), "deeper than 64 levels"),
            Case("{a: " * 20_000, "too-deep", (1, 257), "deeper than 64 levels"),
        ),
    ),
    Row(
        "B15",
        "7 MB of plain steps",
        (
            Case(
                "steps:\n" + "".join(f"- {{id: s{n}, {TERMINAL}}}\n" for n in range(110_000)),
                "too-large",
                words="larger than 4,194,304 bytes",
            ),
        ),
        (f"{LIMITS}test_a_file_that_is_too_large_is_not_parsed",),
        because="the cap is 4 MiB: plans may have 20,000 steps, and those take more than 1 MB",
    ),
    Row(
        "B16",
        "no, on and yes as values",
        (
            Case(f"{GOOD}inputs: {{country: {{type: string, choices: [no, se], default: no}}}}\n"),
            Case(
                step(f"{TERMINAL}, continue_on_error: on"),
                "wrong-type",
                (3, 75),
                "must be true or false, found the text 'on'",
            ),
        ),
        because="plans are YAML 1.2, in which these are text: the country stays NO",
    ),
    Row(
        "B17",
        "numbers that look like text",
        (
            Case(
                f"{GOOD}metadata: {{post: 0123}}\n", "number-spelling", (3, 18), 'quote it if it is text: "0123"', True
            ),
            Case(f"{GOOD}metadata: {{mask: 0x1F}}\n", "number-spelling", (3, 18), "the number 31", True),
            Case(f"{GOOD}metadata: {{at: '22:22', much: 1_000}}\n"),
        ),
        because="in YAML 1.2, 010 is ten, and 22:22 and 1_000 are text",
    ),
    Row(
        "B18",
        "numbers that other readers take for text",
        (
            Case(step(f"{TERMINAL}, timeout: 1e3")),
            Case(
                f"{GOOD}inputs: {{n: {{type: integer, default: 1_000}}}}\n", "wrong-type", (3, 38), "the text '1_000'"
            ),
        ),
        because="YAML 1.2 reads 1e3 as 1000 and 0o17 as 15",
    ),
    Row(
        "B19",
        "what is no finite number",
        tuple(
            Case(f"{GOOD}metadata: {{x: {word}}}\n", "number", (3, 15), "is not a finite number")
            for word in (".nan", "-.inf", "1e400")
        ),
    ),
    Row(
        "B20",
        "a date without quotes",
        (Case(f"{GOOD}inputs: {{day: {{type: string, default: 2024-01-01}}}}\n"),),
        ("unit/test_loader.py::test_yaml_1_2_as_far_as_json_goes",),
        because="YAML 1.2 has no dates: it is the text 2024-01-01",
    ),
    Row(
        "B21",
        "an integer beyond ±2^53",
        (
            Case(f"{GOOD}metadata: {{x: {'9' * 5000}}}\n", "number", (3, 15), "out of range ±2^53"),
            Case(f"{GOOD}metadata: {{x: 9007199254740993}}\n", "number", (3, 15), "out of range ±2^53"),
        ),
    ),
    Row(
        "B22",
        "keys that are no text",
        (
            Case(f"{GOOD}metadata: {{1: x}}\n", "key-not-text", (3, 12), 'quote it: "1"'),
            Case(f"{GOOD}metadata: {{true: x}}\n", "key-not-text", (3, 12), "found the boolean true"),
        ),
    ),
    Row(
        "B23",
        "an unknown or misspelt key",
        (
            Case(step(f"{TERMINAL}, depend_on: [fetch]"), "unknown-key", (3, 56), "did you mean 'depends_on'?"),
            Case(f"{GOOD}setps: []\n", "unknown-key", (3, 1), "did you mean 'steps'?"),
        ),
    ),
    Row(
        "B24",
        "numbers of a wrong type or out of range",
        (
            Case(step(f"{TERMINAL}, timeout: -1"), "out-of-range", (3, 65), "0 to 86400 seconds, found -1"),
            Case(step(f"{TERMINAL}, timeout: 0"), "out-of-range", (3, 65), "more than 0 seconds"),
            Case(step(f"{TERMINAL}, timeout: 1000000000"), "out-of-range", (3, 65), "86400"),
            Case(step(f"{TERMINAL}, retry: -1"), "out-of-range", (3, 63), "0 to 99 extra attempts"),
            Case(step(f"{TERMINAL}, retry: 1000000000"), "out-of-range", (3, 63), "0 to 99 extra attempts"),
        ),
        (
            "unit/test_cli_money.py::test_a_submission_with_a_wrong_budget_or_tenant_is_refused",
            "unit/test_cli_limits.py::test_limits_from_python_are_checked_too",
        ),
    ),
    Row(
        "B25",
        "odd durations",
        tuple(
            Case(step(f"{TERMINAL}, timeout: {text}"), "wrong-type", (3, 65), "write a plain number, such as 90")
            for text in ("5 min", "1h30", "∞")
        ),
    ),
    Row(
        "B26",
        "a plan for a release of the future",
        (Case(f"{GOOD}schema_version: 3\n", "unknown-key", (3, 1), "unknown key 'schema_version'"),),
        ("unit/test_plan.py::test_an_older_reader_ignores_fields_of_a_newer_plan",),
        because="the dialect has no schema version; what a file has of the future is refused by its name and line",
    ),
    Row(
        "B27",
        "inclusions that lead out, in circles, or nowhere",
        (
            Case(
                step("action: generate_text, parameters: {prompt: '{{ file:../../etc/passwd }}'}"),
                "inclusion",
                (3, 55),
                "'../../etc/passwd' leads out of the pipeline's folder",
            ),
        ),
        (
            "unit/test_loader_inclusion.py::test_a_file_that_is_not_read_like_one",
            "unit/test_loader_inclusion.py::test_deeper_than_it_may_be",
            "unit/test_loader_inclusion.py::test_files_that_multiply",
            "unit/test_loader_children.py::test_a_circle_is_spelled_out",
        ),
    ),
    Row(
        "B28",
        "a secret pasted into the plan",
        (
            Case(f"{GOOD}metadata: {{k: sk-proj-abcdefghij0123456789}}\n", "secret", (3, 15), "(sk-p…)"),
            Case(f"{GOOD}name: AKIAIOSFODNN7EXAMPLE\n", "secret", (3, 7), "secret://NAME"),
            Case(f"{GOOD}name: |\n  -----BEGIN RSA PRIVATE KEY-----\n", "secret", (4, 3), "revoke it"),
        ),
        ("unit/test_loader_bad_input.py::test_a_secret_is_never_repeated",),
    ),
    Row(
        "B29",
        "more steps or edges than a plan may have",
        (
            Case(
                "steps:\n" + "".join(f"  - {{id: s{n}, {TERMINAL}}}\n" for n in range(20_001)),
                "too-large",
                (2, 3),
                "20,001 steps; 20,000 are allowed",
            ),
            Case(
                step(f"{TERMINAL}, dependencies: [{', '.join(f's{n}' for n in range(1_000_000))}]"),
                "too-large",
                words="larger than 4,194,304 bytes",
            ),
        ),
        (f"{LIMITS}test_more_dependencies_than_a_plan_may_have",),
    ),
    Row(
        "B30",
        "a path that is no regular file",
        shown_by=(
            *(
                f"{LIMITS}test_{name}"
                for name in ("no_file", "a_directory", "a_fifo_is_not_waited_for", "a_device", "a_socket")
            ),
            f"{LIMITS}test_links_in_a_circle",
            "integration/test_bad_input.py::test_files_that_are_none",
        ),
    ),
)
