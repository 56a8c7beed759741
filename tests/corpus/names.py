"""B43 to B49: names and text."""

from __future__ import annotations

from tests.corpus.row import GOOD, TERMINAL, Case, Row, command, step


def named(name: str) -> str:
    """A plan whose step on the third line has this id."""
    return f"{GOOD}- {{id: {name}, {TERMINAL}}}\n"


ROWS = (
    Row(
        "B43",
        "a step's id with characters that templates read otherwise",
        (
            Case(named("fetch data"), "bad-id", (3, 8), "fetch_data"),
            Case(named("fetch.data"), "bad-id", (3, 8), "fetch_data"),
            Case(named("fetch/data"), "bad-id", (3, 8), "fetch_data"),
            Case(named("'fetch:data'"), "bad-id", (3, 8), "fetch_data"),
            Case(f"{named('get-it')}- {{id: b, tool: terminal, parameters: {{command: '{{{{ get-it.stdout }}}}'}}}}\n"),
            Case(
                f"{named('get-it')}- {{id: b, {TERMINAL}, condition: get-it.success}}\n",
                "hyphen-in-id",
                (4, 67),
                "rename the step get_it",
            ),
        ),
        because="existing files have hyphens in ids: a template that names such a step is read as it was meant",
    ),
    Row(
        "B44",
        "a step's id that is a word of templates",
        (
            *(
                Case(named(word), "reserved-id", (3, 8), f"{word}_step")
                for word in ("items", "keys", "get", "self", "None", "steps")
            ),
            Case(named("__class__"), "bad-id", (3, 8), "is not an id"),
            Case(named("run")),
        ),
        because="`run` means nothing in a template, and existing files may call a step so",
    ),
    Row(
        "B45",
        "ids that look the same",
        (
            Case(named("Fetch"), "similar-id", (3, 8), "differ by case only", warning=True),
            Case(named("fеtch"), "bad-id", (3, 8), "U+0435"),
            Case(named("fetch\u200b"), "bad-id", (3, 8), "U+200B"),
            Case(named("é"), "bad-id", (3, 8), "U+00E9"),
        ),
        because="an id is ASCII, so that only case is left to confuse",
    ),
    Row(
        "B46",
        "names that are long, or would be obeyed somewhere",
        (
            Case(named("x" * 1_000_000), "bad-id", (3, 8), "1,000,000 characters; 44 are allowed"),
            Case(named("'../../etc'"), "bad-id", (3, 8), "is not an id"),
            Case(named("'<script>'"), "bad-id", (3, 8), "script"),
            Case(f'{GOOD}name: "a\\n\\e[31m<script>=cmd()../ %00 😀"\n'),
        ),
        (
            "unit/test_cli_text.py::test_what_a_terminal_would_obey_is_escaped",
            "unit/test_cli_tree.py::test_nothing_in_the_tree_is_obeyed_by_a_terminal",
            "unit/test_submission.py::test_an_id_is_short_and_safe_whatever_the_pipeline_is_called",
        ),
        because="a name is for people: it is escaped where it is shown, and is in no path",
    ),
    Row(
        "B47",
        "the same key, or a run's id, given twice",
        shown_by=(
            "unit/test_cli_runs.py::test_an_idempotency_key_gives_the_same_run",
            "unit/test_submission.py::test_the_replies_of_the_script",
            "unit/test_submission.py::test_the_digest_tells_submissions_apart_by_plan_inputs_and_answers_only",
        ),
        because="a caller gives an idempotency key; the run's id is made of it",
    ),
    Row(
        "B48",
        "half a character",
        (
            Case(f'{GOOD}name: "\\ud800"\n', "surrogate", (3, 7), "half a character"),
            Case(f"{GOOD}name: \ud800\n".encode("utf-8", "surrogatepass"), "encoding", (3, 7), "not UTF-8"),
        ),
        (
            "unit/test_submission.py::test_inputs_that_are_no_json_are_refused",
            "unit/test_limits.py::test_takes_text_that_no_encoding_can_spell",
        ),
    ),
    Row(
        "B49",
        "very long text",
        (
            Case(f"{GOOD}name: {'x' * 50_000_000}\n", "too-large", words="larger than 4,194,304 bytes"),
            Case(step(f"action: generate_text, parameters: {{prompt: a{chr(0x301) * 1_000_000}}}")),
            Case(command("{{ 1 }}" + "x" * 1_100_000), "template", (3, 49), "larger than 1,048,576"),
        ),
        ("unit/test_submission.py::test_the_largest_inputs_pass_and_larger_ones_are_refused",),
    ),
)
