"""B31 to B42: the graph, and how a run flows through it."""

from __future__ import annotations

from tests.corpus.row import AT_COMMAND, GOOD, TERMINAL, Case, Row, command, step

LOOP = f"steps: [{{id: b, {TERMINAL}}}]"
GRAPH = "unit/test_graph.py::"
CYCLES = "unit/test_graph_cycles.py::"
RUNS = "integration/test_graph_runs.py::"

ROWS = (
    Row(
        "B31",
        "steps in a circle",
        (
            Case(
                "steps:\n"
                + "".join(f"- {{id: {a}, {TERMINAL}, dependencies: [{b}]}}\n" for a, b in ("ac", "ba", "cb")),
                "cycle",
                (2, 1),
                "a → b → c → a",
            ),
            Case(step(f"{TERMINAL}, dependencies: [a]"), "cycle", (3, 1), "a → a"),
        ),
        (f"{CYCLES}test_a_cycle_that_cannot_be_compiled_says_what_to_do",),
    ),
    Row(
        "B32",
        "an edge to a step that is not there",
        (Case(step(f"{TERMINAL}, dependencies: [fecth]"), "unknown-step", (3, 71), "did you mean 'fetch'?"),),
        (f"{GRAPH}test_a_mistake_is_named_with_a_remedy",),
    ),
    Row(
        "B33",
        "a dependency that only a template shows",
        (
            Case(command("{{ fetch.stdout }}")),
            Case(command("{{ fetcch.stdout }}"), "unknown-step", AT_COMMAND, "'fetch'?"),
        ),
        (
            "unit/test_loader.py::test_templates_make_dependencies_beside_those_declared",
            f"{GRAPH}test_a_mistake_is_named_with_a_remedy",
        ),
        because="in a file it is a dependency, as existing files need it; in a graph it is the error not-upstream",
    ),
    Row(
        "B34",
        "what no edge leads to, and no start",
        (Case("name: x\n", "no-steps", (1, 1), "the plan has no steps"), Case(step(TERMINAL))),
        (f"{GRAPH}test_a_mistake_is_named_with_a_remedy",),
        because="steps of a file without edges are meant to run at once; of a graph, these are errors",
    ),
    Row(
        "B35",
        "a join that might never fire",
        shown_by=(
            f"{RUNS}test_a_join_behind_a_dead_branch_is_skipped",
            f"{RUNS}test_a_dead_branch_dies_to_its_end_and_no_further",
            f"{RUNS}test_a_router_that_returns_an_unknown_label",
        ),
        because="no join waits for ever: routes that are not taken die, and what has no live one is skipped",
    ),
    Row(
        "B36",
        "loops without a bound or with an endless one, and names that hide steps",
        (
            Case(step(f"while: 'true', {LOOP}")),
            Case(
                step(f"while: 'true', max_iterations: 1000000000, {LOOP}"),
                "out-of-range",
                (3, 42),
                "max_iterations must be 1 to 100000 passes",
            ),
            Case(step(f"for_each: [1], loop_var: fetch, {LOOP}"), "shadowed", (3, 26), "call the items otherwise"),
        ),
        ("integration/test_loops.py::test_stops_at_its_most_passes", f"{CYCLES}test_bounds_have_bounds"),
        because="a loop that states no bound has one of ten passes, as existing files expect",
    ),
    Row(
        "B37",
        "a map over something that only the run knows",
        (Case(step(f"for_each: 5, {LOOP}"), "wrong-type", (3, 21), "must be a list, found the number 5"),),
        (
            "unit/test_loop_items.py::test_of_anything_else_there_are_none",
            "unit/test_loop_items.py::test_have_a_cap",
            "integration/test_loops.py::test_of_a_number_fails_with_words",
        ),
    ),
    Row(
        "B38",
        "two writers of one channel, in no order",
        shown_by=(
            f"{GRAPH}test_two_nodes_that_both_set_a_channel_in_no_order",
            f"{RUNS}test_parallel_writers_fold_in_plan_order",
        ),
        because="a file's steps write only their own value",
    ),
    Row(
        "B39",
        "a reducer that raises, or does not fit",
        shown_by=(
            f"{RUNS}test_a_reducer_that_raises",
            f"{RUNS}test_a_state_that_cannot_be_folded_ends_the_run",
            f"{RUNS}test_the_order_of_the_plan_decides_and_not_the_names",
        ),
        because="whether a reducer is associative does not matter: it is folded in plan order, always",
    ),
    Row(
        "B40",
        "a pipeline that runs itself",
        shown_by=(
            "unit/test_loader_children.py::test_a_circle_is_spelled_out",
            "unit/test_loader_children.py::test_eight_levels_and_no_more",
            "fundamentals/test_families.py::test_pipelines_nest_so_deep_and_no_deeper",
            f"{CYCLES}test_a_graph_within_itself",
        ),
    ),
    Row(
        "B41",
        "a failure that leads backwards, to itself, or to a handler that fails",
        (
            Case(step(f"{TERMINAL}, on_failure: a"), "cycle", (3, 68), "leads to the step itself"),
            Case(
                step(f"{TERMINAL}, dependencies: [fetch], on_failure: fetch"),
                "no-effect",
                (3, 91),
                "write a loop with while or until",
                warning=True,
            ),
        ),
        ("unit/test_loader_failure.py::test_what_cannot_handle_a_failure_is_refused",),
        because="existing files have jumps that lead back, which never did anything: they are told so",
    ),
    Row(
        "B42",
        "a cap that the first call does not fit under",
        (Case(f"{GOOD}timeout: 1\n", "unknown-key", (3, 1), "unknown key 'timeout'"),),
        (
            "unit/test_estimate.py::test_limits_in_force_make_it_longer",
            "integration/test_limits_and_money.py::test_a_run_whose_budget_is_used_up_fails_and_says_so",
        ),
        because="caps and deadlines are a submission's, not a plan's: `estimate` tells them before, and a call that the"
        " budget does not pay for is not sent",
    ),
)
