"""How a run is recorded: its id, its inputs, its keys, and the address of its fleet."""

from __future__ import annotations

import json
import math
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import InputsInvalid, RunConflict
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.question import GivenAnswers
from orchestrator_client.contract.run import RunBudget, Submission
from orchestrator_client.contract.submission import accepted, load_plan, pack, run_id_for, submit_command, unpack

PLAN = Plan(id="my pipeline", steps=(Step(id="a", kind=StepKind.TOOL, uses="terminal.execute"),))


def submission(**fields: Any) -> Submission:
    return Submission(**{"run": "r_1", "plan": PLAN, **fields})


# --- ids -------------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_an_id_is_short_and_safe_whatever_the_pipeline_is_called(pipeline: str) -> None:
    run = names.new_run_id(pipeline)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*_\d{10}_[0-9a-f]{8}", run)
    assert len(run) <= 40


@pytest.mark.parametrize(
    ("pipeline", "slug"),
    [
        ("nightly-report_2", "nightly-report_2"),
        ("a b/c:d", "a-b-c-d"),
        ("{{tag}}", "tag"),
        ("__x__", "x"),
        ("日本", "run"),
        ("", "run"),
        ("---", "run"),
        ("x" * 19 + "--long", "x" * 19),
        ("y" * 50, "y" * 20),
    ],
)
def test_slug(pipeline: str, slug: str) -> None:
    assert names.slug(pipeline) == slug


def test_ids_differ_and_tell_the_time() -> None:
    before = int(time.time())
    made = {run_id_for(PLAN, None) for _ in range(200)}
    assert len(made) == 200
    assert all(before <= int(run.split("_")[1]) <= time.time() for run in made)


def test_a_key_of_the_callers_stands_for_one_id_whatever_the_pipeline() -> None:
    other = Plan(id="other", steps=PLAN.steps)
    assert run_id_for(PLAN, "order 7") == run_id_for(other, "order 7")
    assert run_id_for(PLAN, "order 7") != run_id_for(PLAN, "order 8")
    assert re.fullmatch(r"run_[0-9a-f]{32}", run_id_for(PLAN, ""))


def test_the_task_id_of_a_step_is_fixed() -> None:
    assert names.task_id("r_1", "draft") == "r_1:draft"


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_names_what_the_script_takes() -> None:
    command = submit_command(submission(inputs={"b": 1, "a": "ü"}, tags=("x",)), ttl_seconds=60)
    assert command.keys == ["orc:{r_1}", "orc:{r_1}:plan", "orc:{r_1}:events", "orc:runs", "orc:timetable"]
    ttl, run, _digest, pipeline, plan_hash, plan, inputs, tags, steps, look_again, *_ = command.args
    assert (ttl, run, pipeline, plan_hash, tags, steps) == (60, "r_1", "my pipeline", PLAN.hash, '["x"]', 1)
    assert json.loads(str(inputs)) == {"a": "ü", "b": 1}
    assert isinstance(plan, bytes)
    assert load_plan(plan) == PLAN
    assert isinstance(look_again, int)
    assert look_again > 0


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({}, ["", "", "", ""]),
        ({"tenant": "acme", "deltas": True}, ["acme", "", "1", ""]),
        ({"budget": RunBudget(usd=Decimal("2.50"))}, ["", '{"usd":"2.50","on_breach":"fail"}', "", ""]),
        ({"answers": GivenAnswers(defaults=True)}, ["", "", "", '{"values":{},"defaults":true}']),
    ],
)
def test_the_command_ends_with_whose_money_it_is_who_reads_along_and_what_is_answered(
    fields: dict[str, Any], last: list[str]
) -> None:
    assert submit_command(submission(**fields), 60).args[-16:-12] == last


def digest(**fields: Any) -> str | int | bytes:
    return submit_command(submission(**fields), 60).args[2]


def test_the_digest_tells_submissions_apart_by_plan_inputs_and_answers_only() -> None:
    same = digest(inputs={"a": 1, "b": 2})
    assert digest(inputs={"b": 2, "a": 1}, run="r_2", tags=("x",)) == same
    assert digest(inputs={"a": 1, "b": 3}) != same
    assert digest(inputs={"a": 1, "b": 2}, answers=GivenAnswers(values={"s": 1})) != same
    assert len({digest(allow_tools=allowed) for allowed in (None, (), ("http",))}) == 3
    assert digest(inputs={"a": 1, "b": 2}, plan=Plan(id=PLAN.id, version="2", steps=PLAN.steps)) != same


NO_JSON: list[Any] = [
    math.nan,
    math.inf,
    {1, 2},
    b"bytes",
    object(),
    {"deep": [{(1, 2): 3}]},
    10**5000,
    "\ud800",
]


@pytest.mark.parametrize("value", NO_JSON, ids=lambda value: type(value).__name__)
def test_inputs_that_are_no_json_are_refused(value: Any) -> None:
    with pytest.raises(InputsInvalid, match="not JSON"):
        submit_command(submission(inputs={"x": value}), 60)


def test_inputs_too_deep_for_json_are_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputsInvalid):
        submit_command(submission(inputs={"x": deep}), 60)


def test_the_largest_inputs_pass_and_larger_ones_are_refused() -> None:
    frame = len('{"x": ""}')
    submit_command(submission(inputs={"x": "a" * (caps.INPUT_BYTES - frame)}), 60)
    with pytest.raises(InputsInvalid, match=f"{caps.INPUT_BYTES + 1} bytes of JSON; at most {caps.INPUT_BYTES}"):
        submit_command(submission(inputs={"x": "a" * (caps.INPUT_BYTES - frame + 1)}), 60)


def test_the_replies_of_the_script() -> None:
    assert accepted(1, submission())
    assert not accepted(0, submission())
    with pytest.raises(RunConflict) as caught:
        accepted(-1, submission(idempotency_key="k"))
    assert (caught.value.key, caught.value.run) == ("k", "r_1")


@settings(max_examples=50)
@given(st.text(st.characters(codec="utf-8")))
def test_packed_text_comes_back(text: str) -> None:
    assert unpack(pack(text)) == text


def test_packing_makes_large_text_smaller() -> None:
    assert len(pack("word " * 10_000)) < 1000


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_key_of_a_run_carries_the_run_as_its_hash_tag() -> None:
    keys = names.RunKeys("r_1")
    properties = [name for name, member in vars(names.RunKeys).items() if isinstance(member, property)]
    every = [*(getattr(keys, name) for name in properties), keys.value("a"), keys.value("b[2].c")]
    assert len(properties) >= 7
    assert len(set(every)) == len(every)
    assert all(re.findall(r"\{([^}]*)\}", key) == ["r_1"] and key.startswith("orc:{r_1}") for key in every)


def test_each_provider_has_a_queue() -> None:
    assert names.model_queue("openai") == "model.openai"


@pytest.mark.parametrize(
    ("redis_url", "celery_url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://u:p@host/3", "redis://u:p@host/3"),
        ("rediss://host:6380/1?ssl_cert_reqs=required", "rediss://host:6380/1?ssl_cert_reqs=required"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///run/redis.sock?db=5", "redis+socket:///run/redis.sock?virtual_host=5"),
        ("unix:///run/redis.sock?x=1&db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
    ],
)
def test_the_address_in_celerys_spelling(redis_url: str, celery_url: str) -> None:
    assert names.celery_url(redis_url) == celery_url


def test_the_password_of_a_socket_reaches_celery() -> None:
    assert "secret" in names.celery_url("unix://:secret@/run/redis.sock?db=1")
