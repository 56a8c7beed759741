"""B77 to B85: client, command line and configuration."""

from __future__ import annotations

from tests.corpus.row import Row

FAULTS = "unit/test_cli_faults.py::"

ROWS = (
    Row(
        "B77",
        "the same submission twice",
        shown_by=(
            "integration/test_messages.py::test_the_same_idempotency_key_gives_the_same_run",
            "integration/test_run_command.py::test_an_idempotency_key_runs_once",
        ),
    ),
    Row(
        "B78",
        "asking twice, too late, or of a run that is not there",
        shown_by=(
            "unit/test_cli_runs.py::test_cancel_says_what_it_met",
            "unit/test_cli_runs.py::test_a_run_that_is_not_there",
            "unit/test_cli_runs.py::test_result_waits_no_longer_than_asked",
        ),
    ),
    Row(
        "B79",
        "a Redis that is away, refuses, or is another one",
        shown_by=(
            "integration/test_bad_input.py::test_a_redis_that_is_not_there",
            "unit/test_readiness.py::test_versions_that_are_too_old_are_refused_by_name",
            "integration/test_bad_input.py::test_a_redis_that_does_not_let_us_in",
        ),
    ),
    Row(
        "B80",
        "a provider's key that is missing, or of another form",
        shown_by=(
            "integration/test_bad_input.py::test_a_missing_key_is_named_and_no_request_is_made",
            "integration/test_doctor.py::test_a_key_that_a_worker_lacks_is_told_before_a_run_starts",
            "conformance/test_refusals.py::test_that_is_none_is_missing",
        ),
        because="keys are the workers': `run` and `submit` warn before the run starts, of the providers that its plan"
        " names; a step that is reached all the same fails without a request, and costs nothing",
    ),
    Row(
        "B81",
        "a queue that nobody serves",
        shown_by=(
            "unit/test_why.py::test_a_run_that_nobody_has_started",
            "unit/test_why.py::test_a_step_that_is_ready_names_its_queue",
        ),
    ),
    Row(
        "B82",
        "a terminal that goes, is narrow, or knows few characters",
        shown_by=(
            "unit/test_cli_runs.py::test_an_interrupted_watch_says_how_to_come_back",
            "unit/test_cli_runs.py::test_an_interrupted_run_on_a_fleet_goes_on",
            f"{FAULTS}test_a_reader_that_leaves_is_no_traceback",
            f"{FAULTS}test_no_stdout_at_all_is_no_traceback",
            f"{FAULTS}test_a_terminal_that_knows_few_characters_gets_escapes",
            "unit/test_cli_tree.py::test_the_tree_fits_a_narrow_terminal",
        ),
    ),
    Row(
        "B83",
        "more than anybody needs, at once",
        shown_by=(
            "unit/test_submission.py::test_the_largest_inputs_pass_and_larger_ones_are_refused",
            "unit/test_cli_runs.py::test_runs_are_listed_newest_first_and_sifted",
        ),
        because="there is no HTTP server of ours in front of a fleet: a client writes to Redis, under these caps",
    ),
    Row(
        "B84",
        "configuration that makes no sense",
        shown_by=(
            "unit/test_settings.py::test_a_bad_value_is_refused_and_its_setting_named",
            "unit/test_worker_main.py::test_what_makes_no_sense_is_refused_by_name",
            "unit/test_project_mcp.py::test_nonsense_is_named",
            "unit/test_cli_money.py::test_a_configuration_that_cannot_be_used_is_named",
        ),
    ),
    Row(
        "B85",
        "answers of people that come late, twice, or do not fit",
        shown_by=(
            "fundamentals/test_questions.py::test_the_second_answer_is_told_who_was_first",
            "fundamentals/test_questions.py::test_of_many_answers_at_once_one_counts",
            "fundamentals/test_questions.py::test_an_answer_that_does_not_fit_is_refused_and_the_question_stands",
            "fundamentals/test_questions.py::test_after_the_deadline_the_default_counts",
        ),
    ),
)
