"""The catalogue of faults, F1 to F77: each is done to a real fleet here, or shown by tests that are named, or said not
to apply, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos import message_faults as messages
from tests.chaos import process_faults as processes
from tests.chaos import store_faults as stores
from tests.chaos.scene import Strike


@dataclass(frozen=True)
class Row:
    """One fault of the catalogue."""

    id: str
    what: str
    strike: Strike | None = None
    workload: str = "fan"
    """Where no other is asked for."""
    proxied: bool = False
    store_disk: str = ""
    """Options of a file system of its own for the append-only file."""
    crash: str = ""
    """Point of `crash_points` that the first worker has in it."""
    shown_by: tuple[str, ...] = ()
    """Tests, as `file::function`."""
    because: str = ""
    """Why it does not apply, or what of it is not shown."""


def _row(number: int, what: str, *shown_by: str, because: str = "", **fields: Any) -> Row:
    return Row(f"F{number}", what, shown_by=tuple(f"tests/{test}" for test in shown_by), because=because, **fields)


_HINTS = "integration/test_messages.py::"
_WORKERS = "integration/test_workers.py::"
_CAGE = "unit/test_cage.py::"
_MCP = "conformance/mcp/test_faults.py::"
_STREAMS = "conformance/test_streams.py::"
_LINES = "conformance/test_connections.py::"

ROWS = (
    _row(1, "a step's process is killed", strike=processes.kill_child),
    _row(2, "a worker is killed", strike=processes.kill_worker),
    _row(
        3,
        "a process dies between the record of an outcome and the messages that follow",
        strike=processes.crash_between_settle_and_publish,
        crash="after:settle:1",
    ),
    _row(4, "a worker dies with a message that it has just popped", strike=processes.crash_of_a_pop, workload="chain"),
    _row(5, "a zombie: frozen for two leases, then awake", strike=processes.zombie),
    _row(6, "workers are replaced one after the other (SIGTERM)", strike=processes.rolling_stop),
    _row(7, "workers are killed one after the other", strike=processes.rolling_kill),
    _row(8, "a client dies at each point of a submission", strike=processes.submit_dies, workload="chain"),
    _row(
        9,
        "two sweepers at a time",
        _HINTS + "test_a_lost_worker_costs_an_attempt_and_its_zombie_is_refused",
        "fundamentals/test_messages_are_hints.py::test_whatever_happens_to_messages_a_run_ends_as_it_should",
        because="there is no scheduler process: every worker may sweep",
    ),
    _row(10, "a step that kills its process", strike=processes.poison),
    _row(
        11,
        "an endless loop",
        _WORKERS + "test_a_step_that_never_ends_is_stopped_by_its_timeout",
    ),
    _row(12, "a step's process is frozen", strike=processes.frozen_child, workload="chain"),
    _row(13, "a tool takes all memory", _CAGE + "test_a_memory_hog", _CAGE + "test_a_hog_of_many_processes"),
    _row(14, "a fork bomb, ten thousand threads", _CAGE + "test_a_fork_bomb", _CAGE + "test_many_threads"),
    _row(
        15,
        "grandchildren outlive a command",
        "unit/test_tools_terminal.py::test_a_command_leaves_nothing_behind",
        "unit/test_tether.py::test_adopted_orphans_in_sessions_of_their_own_are_killed",
    ),
    _row(
        16,
        "a tool leaks descriptors",
        _CAGE + "test_open_files",
        "unit/test_tools_terminal.py::test_no_descriptor_is_left_open",
    ),
    _row(17, "output without end", "unit/test_tools_terminal.py::test_endless_output_is_read_in_bounded_memory"),
    _row(18, "a worker's disk is full", strike=processes.disk_full, workload="chain"),
    _row(19, "a working folder cannot be written to", strike=processes.read_only, workload="chain"),
    _row(20, "a worker's clock is two hours ahead", strike=processes.wrong_clock, workload="chain"),
    _row(21, "processors are short", strike=processes.starved, workload="chain"),
    _row(
        22,
        "a worker with the wrong configuration",
        "unit/test_app.py::test_the_transport_keeps_no_books_of_its_own",
        "unit/test_app.py::test_only_json_without_hooks_is_read",
        "unit/test_readiness.py::test_all_that_is_wrong_is_said_at_once",
        because="what would be unsafe cannot be configured: no visibility timeout, one message at a time, JSON only",
    ),
    _row(
        23,
        "a worker that cannot start is started again and again",
        "unit/test_supervisor.py::test_a_storm_is_slowed_down_and_named",
        "unit/test_supervisor.py::test_what_will_not_change_is_passed_on",
    ),
    _row(24, "Redis is killed, and back after 3 s", strike=stores.restart),
    _row(25, "power loss: the last second of the append-only file is gone", strike=stores.power_loss),
    _row(26, "Redis keeps no file", "unit/test_readiness.py::test_a_server_that_forgets_is_named_but_taken"),
    _row(27, "Redis is out of memory for 4 s", strike=stores.out_of_memory),
    _row(28, "Redis evicts keys", "unit/test_readiness.py::test_a_server_that_evicts_is_refused_with_what_to_set"),
    _row(29, "Redis is BUSY for 6 s", strike=stores.busy),
    _row(30, "Redis is frozen", strike=stores.stall),
    _row(31, "Redis is LOADING", strike=stores.loading),
    _row(32, "Redis is demoted: READONLY for 10 s", strike=stores.demotion),
    _row(33, "fail-over by Sentinel", because="does not apply: one Redis, no Sentinel, in this release"),
    _row(34, "a black hole of 20 s", strike=stores.black_hole, proxied=True),
    _row(35, "connections are cut by RST, again and again", strike=stores.reset_storm, proxied=True),
    _row(36, "200 ms round trips at 64 kbit/s", strike=stores.slow_network, proxied=True, workload="chain"),
    _row(37, "queues are deleted", strike=stores.queues_deleted, because="a run whose keys are deleted is gone"),
    _row(38, "records of one run are garbage", strike=stores.corrupt_records),
    _row(39, "Redis has no connection left", strike=stores.too_many_clients),
    _row(40, "the disk of the append-only file is full", strike=stores.disk_full, store_disk="size=2m"),
    _row(41, "the tail of the append-only file is cut", strike=stores.truncated_file),
    _row(42, "the password is changed under the workers", strike=stores.password_changed),
    _row(
        43,
        "a wait that is longer than a key's life",
        "fundamentals/test_questions.py::test_a_question_outlives_its_worker_and_a_restart_of_redis",
        because="sweep renews the lives of all keys of an open run",
    ),
    _row(44, "messages come twice", strike=messages.doubled),
    _row(
        45,
        "a copy of a message while its step runs, after its run, after its cancellation",
        _HINTS + "test_a_copy_of_a_running_steps_message_is_refused_and_not_counted",
        _HINTS + "test_every_message_delivered_twice_changes_nothing",
        _HINTS + "test_cancel_starts_nothing_more_and_closes_the_run",
    ),
    _row(46, "messages change their order", strike=messages.shuffled),
    _row(47, "messages are dropped", strike=messages.dropped),
    _row(48, "a message comes after its deadline", because="does not apply: runs have no deadline"),
    _row(49, "messages that nobody can read", strike=messages.malformed),
    _row(50, "a task that an older worker does not know", strike=messages.malformed),
    _row(
        51,
        "a new version of a plan in the middle of a run",
        "unit/test_plan.py::test_the_hash_does_not_depend_on_the_order_of_mappings",
        because="a run is pinned to the plan that it was submitted with",
    ),
    _row(
        52,
        "workers of two releases",
        "upgrade/test_mixed_fleet.py::test_both_work_on_one_run",
        "upgrade/test_mixed_fleet.py::test_workers_are_replaced_while_runs_go_on",
        because="`make test-mixed` has two releases in the fleets of other tests too",
    ),
    _row(
        53,
        "a thousand runs that have waited for workers",
        strike=processes.herd,
        workload="chain",
        because="that calls of many runs go in fair order, `fundamentals/test_fair_order.py` shows",
    ),
    _row(
        54,
        "a fan of a thousand, a chain of a thousand",
        _HINTS + "test_any_dag_ends_with_one_receipt_a_step",
        because="`make bench` measures a map of ten thousand items, and a worker's memory",
    ),
    _row(
        55,
        "429, with and without a time to wait",
        "fundamentals/test_weather.py::test_a_refusal_closes_the_gate_for_everybody_and_one_call_opens_it_again",
        "integration/test_model_failures.py::test_a_rate_limit_costs_no_attempt",
    ),
    _row(
        56,
        "a storm of 500, 503 and 529",
        "fundamentals/test_weather.py::test_five_failures_in_a_row_close_the_gate_for_half_a_minute",
        "fundamentals/test_weather.py::test_gates_of_other_scopes_stay_open",
    ),
    _row(
        57,
        "nobody listens, no such host",
        _LINES + "test_nobody_listens",
        _LINES + "test_a_host_that_takes_no_connection",
    ),
    _row(58, "a provider that never answers", _LINES + "test_no_answer_in_time"),
    _row(59, "an answer that drips", _LINES + "test_an_answer_that_drips"),
    _row(60, "a stream that stalls", _STREAMS + "test_a_stalled_exchange_is_closed"),
    _row(61, "a stream that ends cleanly in the middle", strike=messages.truncated_stream, workload="chain"),
    _row(62, "an answer that is cut off", "conformance/test_providers.py::test_cut_off_in_its_body"),
    _row(
        63,
        "an error within a stream, a content filter, a refusal",
        _STREAMS + "test_is_told_apart",
        _STREAMS + "test_a_content_filter_is_a_failure_that_stays",
    ),
    _row(64, "HTML, nothing, half a JSON document", "conformance/test_providers.py::test_is_a_bad_response"),
    _row(65, "an answer that is too large", "conformance/test_providers.py::test_too_large"),
    _row(
        66,
        "usage that nobody meant",
        "integration/test_model_failures.py::test_numbers_that_nobody_meant_end_the_step_and_not_the_store",
    ),
    _row(67, "a key is refused", "conformance/test_refusals.py::test_is_told_apart"),
    _row(
        68,
        "a worker dies after a call that is paid",
        "fundamentals/test_gate_budgets.py::test_a_call_of_which_nobody_knows_the_end_has_cost_all_that_it_may",
    ),
    _row(
        69,
        "an answer that is an attack",
        "integration/test_model_turns.py::test_a_call_that_cannot_be_made_goes_back_without_a_step",
        "integration/test_model_turns.py::test_arguments_that_a_tool_does_not_take_go_back_too",
    ),
    _row(70, "a server of tools dies in a call", _MCP + "test_one_that_dies_in_the_middle_of_a_call"),
    _row(
        71,
        "a server of tools hangs",
        _MCP + "test_one_that_hangs_in_the_middle_of_a_call",
    ),
    _row(72, "a server of tools writes rubbish", _MCP + "test_rubbish_on_stdout_is_survived_in_small_amounts_only"),
    _row(
        73,
        "a tool's description changes after it was approved",
        "integration/test_mcp_lock.py::test_a_server_that_changes_is_not_called",
    ),
    _row(
        74,
        "a server of tools starts others and reads the environment",
        _MCP + "test_its_children_end_with_it",
        _MCP + "test_it_sees_of_the_environment_what_was_configured",
    ),
    _row(
        75,
        "requests that are led astray",
        "unit/test_addresses.py::test_a_redirect_is_another_address",
        "unit/test_addresses.py::test_a_name_that_changes_its_answer_is_asked_once",
        "unit/test_addresses.py::test_the_metadata_service_is_refused",
    ),
    _row(
        76,
        "a command that ignores SIGTERM and leaves others behind",
        "unit/test_tools_terminal.py::test_a_command_that_ignores_sigterm_is_killed",
        _CAGE + "test_it_has_no_core_and_gains_no_privileges",
    ),
    _row(
        77,
        "a path becomes a link between the check and its use",
        "unit/test_tools_filesystem.py::test_a_folder_swapped_for_a_link_while_files_are_written_and_read_never_leads_out",
    ),
)
BY_ID: Mapping[str, Row] = {row.id: row for row in ROWS}

ON_EVERY_CHANGE = ("F1", "F2", "F3", "F4", "F5", "F8", "F10", "F24", "F27", "F32", "F44", "F47", "F49", "F61", "F38")
"""The fifteen that are done on every change."""
