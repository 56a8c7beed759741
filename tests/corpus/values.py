"""B66 to B76: what goes into a run, and what its steps give."""

from __future__ import annotations

from tests.corpus.row import GOOD, Case, Row

BAD_INPUT = "integration/test_bad_input.py::"

ROWS = (
    Row(
        "B66",
        "inputs that are missing, unknown or of another type",
        (Case(f"{GOOD}inputs: {{n: {{type: intger}}}}\n", "wrong-value", (3, 20), "did you mean 'integer'?"),),
        (
            f"{BAD_INPUT}test_inputs",
            "unit/test_plan.py::test_all_problems_are_reported_at_once_in_the_order_of_the_plan",
            "unit/test_plan.py::test_coerced_without_loss",
            "unit/test_plan.py::test_defaults_stand_in_and_undeclared_names_are_kept",
        ),
        because="existing pipelines are given inputs that they do not declare: those are kept as they are",
    ),
    Row(
        "B67",
        "mappings that some reader makes objects of",
        shown_by=(
            "integration/test_canvas.py::test_inputs_arrive_as_they_were_sent",
            "unit/test_app.py::test_a_message_in_the_queue_is_plain_json",
        ),
    ),
    Row(
        "B68",
        "values of Python that JSON has not",
        shown_by=(
            "unit/test_submission.py::test_inputs_that_are_no_json_are_refused",
            "unit/test_submission.py::test_inputs_too_deep_for_json_are_refused",
            "unit/test_plan.py::test_a_value_that_is_no_json_is_refused_with_its_name",
            "unit/test_graph.py::test_parameters_that_json_cannot_say_are_named_by_their_path",
        ),
    ),
    Row(
        "B69",
        "paths that lead out",
        shown_by=(
            f"{BAD_INPUT}test_paths_that_leave_the_working_folder",
            "unit/test_tools_filesystem.py::test_a_link_to_itself_is_refused",
        ),
    ),
    Row(
        "B70",
        "addresses within",
        shown_by=(
            "unit/test_addresses.py::test_this_machine_is_refused_however_it_is_written",
            "unit/test_addresses.py::test_the_metadata_service_is_refused",
            "unit/test_addresses.py::test_other_spellings_lead_nowhere",
            "unit/test_addresses.py::test_a_name_that_leads_within_is_refused",
            "unit/test_addresses.py::test_a_redirect_is_another_address",
            "unit/test_tools_http.py::test_a_redirect_to_a_file_is_refused",
        ),
    ),
    Row(
        "B71",
        "headers and methods that are none",
        shown_by=("unit/test_tools_http.py::test_what_cannot_be_sent_is_refused_before_it_is",),
    ),
    Row(
        "B72",
        "text that other programs would run",
        shown_by=(
            "integration/test_canvas.py::test_inputs_arrive_as_they_were_sent",
            "unit/test_public_surface.py::test_a_script_uses_no_argument_that_its_header_does_not_name",
        ),
        because="a script's arguments are arguments: nothing that a user gave is put into its source",
    ),
    Row(
        "B73",
        "a step that gives what cannot be kept",
        shown_by=(
            f"{BAD_INPUT}test_a_value_of_100_megabytes",
            "integration/test_messages.py::test_a_value_too_deep_for_json_fails_its_step",
            "integration/test_messages.py::test_a_result_over_the_cap_is_a_file",
            "unit/test_tools_python.py::test_what_json_cannot_say_is_named_by_place_and_type",
            "integration/test_confinement.py::test_a_secret_is_in_nothing_that_anybody_keeps",
        ),
    ),
    Row(
        "B74",
        "an answer that does not fit its schema",
        shown_by=(
            "integration/test_model_turns.py::test_an_answer_that_does_not_fit_is_repaired_once",
            "integration/test_model_turns.py::test_one_that_does_not_fit_after_that_fails_and_is_kept",
            "unit/test_schema.py::test_json_is_found",
            "unit/test_schema.py::test_what_is_no_json",
            "unit/test_schema.py::test_what_does_not_fit_is_named_by_its_place",
        ),
    ),
    Row(
        "B75",
        "a failure that is not raised",
        shown_by=("unit/test_declared_tools.py::test_a_mapping_reports_failure_by_its_success",),
    ),
    Row(
        "B76",
        "output without end, or that a terminal would obey",
        shown_by=(
            "unit/test_tools_terminal.py::test_long_output_keeps_head_and_tail_and_says_what_is_missing",
            "unit/test_tools_terminal.py::test_endless_output_is_read_in_bounded_memory",
            "unit/test_tools_terminal.py::test_output_that_is_no_text_is_shown_with_replacements",
            "unit/test_cli_text.py::test_what_a_terminal_would_obey_is_escaped",
        ),
    ),
)
