"""How many ways out the suites of confinement try. A table that shrinks unnoticed would still be green."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tests.unit import test_addresses as addresses
from tests.unit import test_cage as cage
from tests.unit import test_tools_filesystem as files
from tests.unit import test_tools_python_executor as executor
from tests.unit import test_tools_terminal as terminal

CORPORA: dict[str, tuple[Callable[..., Any], ...]] = {
    "paths": (
        files.test_no_path_leads_out,
        files.test_nothing_out_there_is_copied_moved_or_deleted,
        files.test_what_is_no_path_is_refused,
        files.test_a_link_to_itself_is_refused,
        files.test_a_fifo_is_refused_without_waiting_for_its_other_end,
        files.test_a_socket_and_a_folder_are_refused,
    ),
    "addresses": (
        addresses.test_what_is_nobodys_or_somebodys_own_is_not_public,
        addresses.test_a_network_is_refused_from_its_first_address_to_its_last,
        addresses.test_so_is_one_that_carries_another,
        addresses.test_this_machine_is_refused_however_it_is_written,
        addresses.test_so_is_its_other_family,
        addresses.test_other_spellings_lead_nowhere,
        addresses.test_the_metadata_service_is_refused,
        addresses.test_a_redirect_is_another_address,
        addresses.test_a_name_that_changes_its_answer_is_asked_once,
        addresses.test_a_name_that_leads_within_is_refused,
        addresses.test_but_only_what_it_says,
        addresses.test_other_schemes_are_none_of_its_business,
    ),
    "environment": (
        terminal.test_the_worker_environment_is_not_passed_on,
        executor.test_the_environment_is_not_passed_on,
        cage.TestNamespaces.test_the_environment_of_the_worker_cannot_be_read,
    ),
    "processes": (
        terminal.test_a_command_leaves_nothing_behind,
        terminal.test_cancelling_ends_all,
        terminal.test_cancelling_twice_still_ends_what_ignores_sigterm,
        terminal.test_a_timeout_kills_the_command_and_its_children,
        terminal.test_a_command_that_ignores_sigterm_is_killed,
        cage.test_a_fork_bomb,
        cage.test_many_threads,
        cage.test_a_memory_hog,
        cage.test_a_hog_of_many_processes,
        cage.test_output_without_end,
        cage.test_an_endless_loop,
        cage.test_a_large_file,
        cage.test_open_files,
        cage.test_it_has_no_core_and_gains_no_privileges,
    ),
}
LEAST = {"paths": 200, "addresses": 150, "environment": 3, "processes": 20}


def cases(test: Callable[..., Any]) -> int:
    """How often a test runs."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    return prod(len(set(mark.args[1])) for mark in marks)


def test_the_corpora_are_as_large_as_they_were() -> None:
    sizes = {name: sum(map(cases, tests)) for name, tests in CORPORA.items()}
    assert {name: size for name, size in sizes.items() if size < LEAST[name]} == {}
    assert sum(sizes.values()) >= 300
