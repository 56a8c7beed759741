"""A whole run as one signature inside the canvas of somebody else's Celery application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import chain, chord, group

from orchestrator_client.announce import run_pipeline
from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import KEY_VARIABLE
from orchestrator_client.contract.errors import InputsInvalid, PlanInvalid
from orchestrator_client.contract.plan import Input, Plan
from orchestrator_client.contract.run import Submission
from orchestrator_client.store import Stores
from tests import foreign_app
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.foreign_app import call, collect, keep, note_error
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("canvas")

SECONDS = 60
"""For one canvas, with a fleet that is already there."""

DECEPTIVE = {"__type__": "datetime", "__value__": "boom"}
"""What kombu's JSON would take for a date that it cannot read."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    """A worker of ours with one slot, so that control messages are handled one after the other, and a foreign one. The
    fleet has a key, which the process that makes signatures knows, and the foreign application does not.
    """
    with pytest.MonkeyPatch.context() as patch, StandingFleet(tmp_path_factory.mktemp("canvas")) as standing:
        patch.setenv(KEY_VARIABLE, "a key of the fleet with the canvas")
        url, without = names.celery_url(standing.url), {KEY_VARIABLE: ""}
        standing.start_worker("ours", "-c", "1", beat_seconds=0.3)
        options = ("-Q", foreign_app.QUEUE, "--pool=threads", "-c", "2", "--without-mingle", "--without-gossip")
        standing.start_program(
            "foreign", "-m", "celery", "-A", "tests.foreign_app", "worker", *options, FOREIGN_URL=url, **without
        )
        yield standing


@pytest.fixture(autouse=True)
def _sender(fleet: StandingFleet) -> Iterator[None]:
    """The test is the process of the foreign application that sends."""
    with foreign_app.at(names.celery_url(fleet.url)):
        yield


def doubling(plan_id: str = "doubling") -> Plan:
    """A plan that says its input twice."""
    return Plan(
        id=plan_id,
        inputs={"word": Input(required=True)},
        steps=(python_step("twice", "operator:mul", "{{ word }}", 2, reads=()),),
        outputs={"twice": "{{ twice.result }}"},
    )


def failing() -> Plan:
    return Plan(id="failing", steps=(python_step("a"), python_step("bad", "tests.functions:fail", "no", after=("a",))))


def test_a_chain_goes_on_with_the_runs_outputs(fleet: StandingFleet) -> None:
    pending = chain(run_pipeline(doubling(), {"word": "ab"}), call(keep)).apply_async()
    run = pending.parent.id
    assert pending.get(timeout=SECONDS) == {"kept": {"run": run, "state": "succeeded", "outputs": {"twice": "abab"}}}
    assert fleet.client.run(run).document().success


def test_a_run_may_stand_in_the_middle_of_a_chain(fleet: StandingFleet) -> None:
    pending = chain(call(keep, 1), run_pipeline(doubling(), {"word": "c"}), call(keep)).apply_async()
    assert pending.get(timeout=SECONDS)["kept"]["outputs"] == {"twice": "cc"}


def test_one_run_behind_another(fleet: StandingFleet) -> None:
    pending = chain(run_pipeline(doubling(), {"word": "d"}), run_pipeline(doubling(), {"word": "e"})).apply_async()
    assert pending.get(timeout=SECONDS)["outputs"] == {"twice": "ee"}
    assert pending.parent.get(timeout=SECONDS)["outputs"] == {"twice": "dd"}


def test_a_chord_collects_its_runs_in_order(fleet: StandingFleet) -> None:
    runs = [run_pipeline(doubling(f"part{word}"), {"word": word}) for word in "xyz"]
    collected = chord(runs, call(collect)).apply_async().get(timeout=SECONDS)["collected"]
    assert [part["outputs"]["twice"] for part in collected] == ["xx", "yy", "zz"]
    assert len({part["run"] for part in collected}) == 3


def test_a_group_of_a_run_and_a_foreign_task(fleet: StandingFleet) -> None:
    pending = group(run_pipeline(doubling(), {"word": "g"}), call(keep, "h")).apply_async()
    ours, theirs = pending.get(timeout=SECONDS)
    assert (ours["outputs"], theirs) == ({"twice": "gg"}, {"kept": "h"})


def test_get_on_the_signatures_own_result(fleet: StandingFleet, tmp_path: Path) -> None:
    file = tmp_path / "doubling.yaml"
    file.write_text(
        "id: from-file\ninputs: {word: string}\n"
        "steps:\n  - {id: twice, tool: python, action: call,"
        " parameters: {function: 'operator:mul', args: ['{{ word }}', 2]}}\n"
        "outputs: {twice: '{{ twice.result }}'}\n"
    )
    pending = run_pipeline(file, {"word": "f"}).apply_async()
    answer = pending.get(timeout=SECONDS)
    assert answer == {"run": pending.id, "state": "succeeded", "outputs": {"twice": "ff"}}
    assert fleet.client.run(pending.id).status().pipeline == "from-file"


def test_a_failing_run_raises_in_get(fleet: StandingFleet) -> None:
    pending = run_pipeline(failing()).apply_async()
    with pytest.raises(Exception, match="ValueError: no"):
        pending.get(timeout=SECONDS)
    assert pending.status == "FAILURE"
    document = fleet.client.run(pending.id).result(timeout=SECONDS)
    assert document.error == "step 'bad' failed: function tests.functions:fail raised ValueError: no"


def test_a_failing_run_stops_its_chain_and_calls_the_errback(fleet: StandingFleet, tmp_path: Path) -> None:
    noted, ledger = tmp_path / "noted", tmp_path / "ledger"
    canvas = chain(run_pipeline(failing()), call(keep, ledger=str(ledger)))
    pending = canvas.apply_async(link_error=call(note_error, path=str(noted)))
    with pytest.raises(Exception, match="ValueError: no"):
        pending.get(timeout=SECONDS)
    with pytest.raises(Exception, match="ValueError: no"):
        pending.parent.get(timeout=SECONDS)
    wait_until(noted.exists, "the errback was called")
    assert not ledger.exists(), "the chain went on behind a failure"


def test_a_failing_run_fails_its_chord_and_calls_the_errback(fleet: StandingFleet, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    body = call(collect).on_error(call(note_error, path=str(noted)))
    pending = chord([run_pipeline(doubling(), {"word": "x"}), run_pipeline(failing())], body).apply_async()
    with pytest.raises(Exception, match="bad"):
        pending.get(timeout=SECONDS)
    wait_until(noted.exists, "the errback was called")
    assert noted.read_text() == pending.id


@pytest.mark.parametrize("output", ["{{ nothing.there }}", "{{ 1 / 0 }}"])
def test_outputs_that_cannot_be_rendered_fail_the_canvas(fleet: StandingFleet, output: str) -> None:
    plan = Plan(id="no-outputs", steps=(python_step("a"),), outputs={"o": output})
    pending = chain(run_pipeline(plan), call(keep)).apply_async()
    with pytest.raises(Exception, match="output 'o'"):
        pending.get(timeout=SECONDS)


def test_a_cancelled_run_fails_the_canvas(fleet: StandingFleet, tmp_path: Path) -> None:
    plan = Plan(id="long", steps=(python_step("a", "tests.functions:wait_for", str(tmp_path / "never")),))
    pending = chain(run_pipeline(plan), call(keep)).apply_async()
    wait_until(lambda: fleet.client.runs(pipeline="long"), "the run is recorded")
    run = fleet.client.run(pending.parent.id)
    wait_until(lambda: run.document().steps["a"].status == "running", "its step is running")
    run.cancel()
    with pytest.raises(Exception, match="cancelled"):
        pending.get(timeout=SECONDS)


def test_a_run_that_is_cancelled_before_it_began_fails_the_canvas(fleet: StandingFleet) -> None:
    plan = Plan(id="never", steps=(python_step("a"),))
    pending = chain(run_pipeline(plan).set(queue="held"), call(keep)).apply_async()
    # A worker has recorded it and is slow to start it; until then, somebody cancels it.
    with closing(Stores(fleet.url, "a test")) as stores:
        stores.runs.submit(Submission(run=pending.parent.id, plan=plan))
    fleet.client.run(pending.parent.id).cancel()
    fleet.redis.lpush(names.CONTROL_QUEUE, fleet.redis.rpop("held"))
    with pytest.raises(Exception, match="cancelled"):
        pending.get(timeout=SECONDS)


def test_the_errback_is_told_the_runs_id(fleet: StandingFleet, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    pending = run_pipeline(failing()).apply_async(link_error=call(note_error, path=str(noted)))
    wait_until(noted.exists, "the errback was called")
    assert noted.read_text() == pending.id


def test_the_result_says_what_failed_once_the_run_has_closed(fleet: StandingFleet) -> None:
    pending = run_pipeline(failing()).apply_async()
    with pytest.raises(Exception, match="step 'bad' failed"):
        pending.get(timeout=SECONDS)
    assert fleet.client.run(pending.id).status().state.ended


def test_inputs_arrive_as_they_were_sent(fleet: StandingFleet) -> None:
    sent = {"thing": DECEPTIVE, "nested": [{"a": DECEPTIVE}], "text": "ünï \u2028 \x00 {{ thing }}"}
    outputs = {name: f"{{{{ inputs.{name} }}}}" for name in sent}
    plan = Plan(id="as-sent", steps=(python_step("a", "builtins:dict", "{{ thing }}"),), outputs=outputs)
    # Without a result: in it Celery would try to read the date.
    pending = run_pipeline(plan, sent).apply_async(ignore_result=True)
    wait_until(lambda: fleet.client.runs(pipeline="as-sent"), "the run is recorded")
    document = fleet.client.run(pending.id).result(timeout=SECONDS)
    assert document.outputs == sent
    assert document.steps["a"].value["result"] == DECEPTIVE


def test_a_message_that_comes_twice_runs_once(fleet: StandingFleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    plan = Plan(id="once", steps=(python_step("a", "tests.functions:mark", str(fleet.folder), "once"),))
    pending = chain(run_pipeline(plan).set(queue="held"), call(keep, ledger=str(ledger))).apply_async()
    message = fleet.redis.rpop("held")
    fleet.redis.lpush(names.CONTROL_QUEUE, message, message)
    assert pending.get(timeout=SECONDS)["kept"]["state"] == "succeeded"
    fleet.redis.lpush(names.CONTROL_QUEUE, message)  # a late copy, of a run that has closed
    fence = fleet.client.submit(doubling("fence"), {"word": "-"})
    assert fence.result(timeout=SECONDS).success
    assert fleet.ledger() == ["+once", "-once"]
    assert ledger.read_text() == "kept\n"


def test_what_monitors_show_of_the_message_has_no_inputs(fleet: StandingFleet) -> None:
    run_pipeline(doubling(), {"word": "canary"}).set(queue="held").apply_async()
    headers = json.loads(fleet.redis.rpop("held"))["headers"]
    assert "canary" not in headers["argsrepr"] + headers["kwargsrepr"]


def test_mistakes_are_found_before_anything_is_sent(fleet: StandingFleet, tmp_path: Path) -> None:
    with pytest.raises(InputsInvalid, match="word"):
        run_pipeline(doubling())
    (tmp_path / "bad.yaml").write_text("id: bad\nsteps: [{id: a, tool: nothing}]\n")
    with pytest.raises(PlanInvalid, match="nothing"):
        run_pipeline(tmp_path / "bad.yaml")
