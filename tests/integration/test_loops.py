"""Maps and loops on the real engine: every item and pass once, whatever becomes of messages."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.plan import Input, Jump, LoopKind, OnFailure, Plan, Step
from orchestrator_client.contract.run import RunState
from tests.fleet import InProcessFleet, python_step
from tests.integration.loops import each, finish, loop, text


def plan(*steps: Step, outputs: dict[str, str] | None = None, **inputs: object) -> Plan:
    declared = {name: Input(default=value) for name, value in inputs.items()}
    return Plan(id="loops", inputs=declared, steps=steps, outputs=outputs or {})


PAIRS = plan(
    text("before", "b"),
    each(
        "each",
        "{{ items }}",
        text("one", "{{ item }}{{ index }}{{ before.result }}", reads=("before",)),
        text("two", "{{ one.result }}!", after=("one",), reads=("one",)),
        after=("before",),
        max_parallel=2,
    ),
    text("end", "{{ each.results | join(' ') }}", after=("each",), reads=("each",)),
    outputs={"all": "{{ end.result }}", "second": "{{ each.iterations[1].one.result }}", "n": "{{ each.count }}"},
    items=["x", "y", "z"],
)


class TestMap:
    def test_runs_its_body_for_each_item_and_ends_with_the_last(self, fleet: InProcessFleet) -> None:
        document = finish(fleet, fleet.submit(PAIRS))
        assert document.success
        assert document.outputs == {"all": "x0b! y1b! z2b!", "second": "y1b", "n": 3}

    @pytest.mark.parametrize("seed", range(8))
    def test_survives_messages_that_are_lost_doubled_and_late(self, fleet: InProcessFleet, seed: int) -> None:
        run = fleet.submit(PAIRS)
        document = finish(fleet, run, seed)
        assert document.outputs["all"] == "x0b! y1b! z2b!"
        assert [e.kind for e in run.stream() if e.instance == "each" and e.kind.startswith("step_succ")] == [
            "step_succeeded"
        ]

    def test_has_no_more_items_under_way_than_it_may(self, fleet: InProcessFleet) -> None:
        run = fleet.submit(PAIRS)
        most = 0
        while (message := fleet.take()) is not None:
            fleet.deliver(message)
            ready = [name for name in fleet.redis.hkeys(f"orc:{{{run.id}}}:instances") if b"each[" in name]
            most = max(most, len({name.split(b".")[0] for name in ready}))
        assert most == 2

    @pytest.mark.parametrize(
        ("items", "found"),
        [
            ([], []),
            ('["a", "b"]', ["a", "b"]),
            ("a, b", ["a", "b"]),
            ({"k": 1}, ["{'key': 'k', 'value': 1}"]),
            ([{"n": 1}], ["{'n': 1}"]),
        ],
    )
    def test_runs_over_whatever_lists_something(self, fleet: InProcessFleet, items: object, found: list[str]) -> None:
        document = finish(fleet, fleet.submit(plan(each("m", "{{ items }}", text("t", "{{ item }}")), items=items)))
        assert document.success, document.error
        shown = [step.value["result"] for name, step in document.steps.items() if name.startswith("m[")]
        assert [str(value) for value in shown] == found

    def test_of_a_number_fails_with_words(self, fleet: InProcessFleet) -> None:
        document = finish(fleet, fleet.submit(plan(each("m", "{{ items }}", text("t", "x")), items=7)))
        assert "runs over int" in (document.error or "")

    def test_nests(self, fleet: InProcessFleet) -> None:
        inner = each("inner", "{{ item }}", text("t", "{{ loops.outer.index }}.{{ index }}:{{ item }}"))
        document = finish(fleet, fleet.submit(plan(each("outer", "{{ rows }}", inner), rows=[["a", "b"], ["c"]])))
        assert document.success, document.error
        assert document.steps["outer[0].inner[1].t"].value["result"] == "0.1:b"
        assert document.steps["outer[1].inner[0].t"].value["result"] == "1.0:c"

    def test_a_failing_item_halts_the_run_or_not_as_its_step_says(self, fleet: InProcessFleet) -> None:
        bad = python_step("t", "tests.functions:fail", "no", on_failure=OnFailure.CONTINUE)
        go_on = plan(each("m", [1, 2], bad), text("end", "{{ m.success }}", after=("m",), reads=("m",)))
        document = finish(fleet, fleet.submit(go_on))
        assert document.steps["end"].value["result"] == "False"
        assert not document.success
        halting = plan(each("m", [1, 2, 3], python_step("t", "tests.functions:fail", "no")), text("end", "x", ("m",)))
        document = finish(fleet, fleet.submit(halting))
        assert document.status == "failed"
        assert document.steps["end"].status == "cancelled"

    def test_a_cancelled_run_ends(self, fleet: InProcessFleet) -> None:
        run = fleet.submit(PAIRS)
        for _ in range(3):
            fleet.deliver(fleet.take())
        run.cancel()
        assert finish(fleet, run).status == RunState.CANCELLED

    def test_a_false_condition_skips_all_of_it(self, fleet: InProcessFleet) -> None:
        skipped = each("m", [1], text("t", "x")).model_copy(update={"condition": "{{ 1 > 2 }}"})
        document = finish(fleet, fleet.submit(plan(skipped)))
        assert {name: step.status for name, step in document.steps.items()} == {"m": "skipped"}


class TestLoop:
    def test_goes_on_while_its_condition_holds(self, fleet: InProcessFleet) -> None:
        body = text("t", "{{ lp.iteration }}<{{ t.result | default('none') }}", reads=("t",))
        ending = text("end", "{{ lp.iterations }} {{ lp.completed }}", after=("lp",), reads=("lp",))
        steps = (loop("lp", LoopKind.WHILE, "{{ iteration < 3 }}", body, max_iterations=9), ending)
        document = finish(fleet, fleet.submit(plan(*steps, outputs={"last": "{{ lp.iterations[-1].t.result }}"})))
        assert document.steps["end"].value["result"] == "3 True"
        assert document.outputs["last"] == "2<1<0<none"

    def test_its_passes_are_a_list_to_a_filter_of_lists(self, fleet: InProcessFleet) -> None:
        outputs = {"n": "{{ lp.iterations | length }}", "last": "{{ (lp.iterations | last).t.result }}"}
        steps = loop("lp", LoopKind.WHILE, True, text("t", "{{ iteration }}"), max_iterations=2)
        assert finish(fleet, fleet.submit(plan(steps, outputs=outputs))).outputs == {"n": 2, "last": "1"}

    def test_a_skipped_one_has_no_count(self, fleet: InProcessFleet) -> None:
        skipped = each("m", [1], text("t", "x")).model_copy(update={"condition": False})
        document = finish(fleet, fleet.submit(plan(skipped, outputs={"n": "{{ m.count | default(0) }}"})))
        assert document.outputs == {"n": 0}

    def test_stops_at_its_most_passes(self, fleet: InProcessFleet) -> None:
        steps = loop("lp", LoopKind.WHILE, True, text("t", "x"), max_iterations="{{ most }}")
        document = finish(fleet, fleet.submit(plan(steps, most=4, outputs={"n": "{{ lp.iterations }}"})))
        assert document.outputs["n"] == 4
        assert document.steps["lp"].value["completed"] is False

    def test_goes_on_until_what_a_pass_left_is_enough(self, fleet: InProcessFleet) -> None:
        steps = loop("lp", LoopKind.UNTIL, "{{ t.result | int >= 2 }}", text("t", "{{ iteration }}"), max_iterations=50)
        document = finish(fleet, fleet.submit(plan(steps, outputs={"n": "{{ lp.iteration_count }}"})))
        assert document.outputs["n"] == 3

    @pytest.mark.parametrize("seed", range(4))
    def test_survives_messages_that_are_lost_doubled_and_late(self, fleet: InProcessFleet, seed: int) -> None:
        inner = each("m", [1, 2], text("u", "{{ item }}"))
        steps = loop("lp", LoopKind.WHILE, "{{ iteration < 3 }}", inner, max_iterations=9)
        document = finish(fleet, fleet.submit(plan(steps, outputs={"n": "{{ lp.count }}"})), seed)
        assert document.outputs["n"] == 3
        assert len([name for name in document.steps if name.endswith(".u")]) == 6


class TestJump:
    def test_skips_what_lies_between(self, fleet: InProcessFleet) -> None:
        over = Jump(source="gate", when="skipped", target="small")
        steps = (
            text("gate", "x", condition="{{ n > 3 }}"),
            text("big", "big", after=("gate",), reads=("gate",), jumps=(over,)),
            text("small", "small", after=("gate", "big")),
        )
        small = finish(fleet, fleet.submit(plan(*steps, n=1)))
        assert {name: step.status for name, step in small.steps.items()} == {
            "gate": "skipped",
            "big": "skipped",
            "small": "completed",
        }
        assert "went on at 'small'" in (small.steps["big"].reason or "")
        assert finish(fleet, fleet.submit(plan(*steps, n=9))).steps["big"].status == "completed"
