"""A provider's limits, kept by a fleet of real workers; and the server that enforces them, which is tested first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import OnFailure
from tests.conftest import RedisServer, wait_until
from tests.limited_fleet import MODEL, SCOPE, LimitedFleet, have_ended, parallel_calls
from tests.limited_server import Journal, LimitedServer, Terms, marked
from tests.rate_regimes import Bucket, Regime, Window, allowance, busiest_minute

START = 1_750_000_000.0

THREADS = 16
"""Of each of the two model workers."""


def limited_to(requests_per_minute: int) -> str:
    return f'[limits."openai/{MODEL}"]\nrequests_per_minute = {requests_per_minute}\n'


@contextmanager
def fleet_at(
    server: RedisServer, folder: Path, terms: Terms, config: str = "", threads: int = THREADS, **settings: Any
) -> Iterator[LimitedFleet]:
    """Two model workers, warm, and a server with these terms."""
    with LimitedServer() as limited, LimitedFleet(server.url, folder, limited, config) as fleet:
        yield fleet.start(models=2, threads=threads, **settings).warm(terms)


def run_calls(fleet: LimitedFleet, calls: int, seconds: float = 60.0) -> Journal:
    """All calls of a run at once; every one of them succeeds."""
    return journal_of(fleet, [fleet.client.submit(parallel_calls("r0", calls))], seconds)


def journal_of(fleet: LimitedFleet, runs: list[Run], seconds: float = 60.0) -> Journal:
    """What the server was asked, once all calls of these runs have succeeded."""
    assert have_ended(runs, seconds)
    assert [run.status().state for run in runs] == ["succeeded"] * len(runs)
    return fleet.server.journal()


# --- the server ------------------------------------------------------------------------------------------------------


def test_a_bucket_lets_its_capacity_through_and_then_its_rate() -> None:
    bucket = Bucket(limit=600, capacity=10, now=START)
    for _ in range(10):
        assert bucket.wait_seconds(START, 1) == 0
        bucket.take(START, 1)
    assert bucket.wait_seconds(START, 1) == pytest.approx(0.1)
    assert bucket.wait_seconds(START + 0.11, 1) == 0
    assert bucket.remaining(START + 60) == 10


def test_a_window_forgets_what_is_a_minute_old() -> None:
    window = Window(limit=3)
    for second in range(3):
        window.take(START + second, 1)
    assert window.wait_seconds(START + 10, 1) == pytest.approx(50)
    assert window.wait_seconds(START + 10, 2) == pytest.approx(51)
    assert window.wait_seconds(START + 60, 1) == 0
    assert window.reset_seconds(START + 10) == pytest.approx(52)


@pytest.mark.parametrize(
    ("regime", "seconds", "expected"),
    [
        (Regime.BUCKET, 0, 600),
        (Regime.BUCKET, 30, 900),
        (Regime.PACED, 30, 310),
        (Regime.WINDOW, 30, 600),
        (Regime.WINDOW, 60, 1200),
    ],
)
def test_what_a_greedy_client_could_have_had(regime: Regime, seconds: int, expected: int) -> None:
    assert allowance(regime, 600, START + seconds, [], START) == pytest.approx(expected, abs=1)


def test_what_was_used_before_is_not_there_again() -> None:
    used = [START + number / 100 for number in range(600)]
    assert allowance(Regime.BUCKET, 600, START + 36, used, START + 6) == pytest.approx(360, abs=2)
    assert busiest_minute([*used, START + 60, START + 61]) == 600


def test_the_server_refuses_as_the_vendor_does() -> None:
    terms = Terms(regime=Regime.BUCKET, requests_per_minute=1, capacity=2, headers=True)
    with (
        LimitedServer(terms) as server,
        openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0) as client,
    ):
        create = client.responses.with_raw_response.create
        told = [create(model=MODEL, input=marked("r", str(number))).headers for number in range(2)]
        with pytest.raises(openai.RateLimitError) as refusal:
            create(model=MODEL, input=marked("r", "2"))
        assert [headers["x-ratelimit-remaining-requests"] for headers in told] == ["1", "0"]
        assert refusal.value.code == "rate_limit_exceeded"
        wait_ms = int(refusal.value.response.headers["retry-after-ms"])
        assert 0 < wait_ms <= 60_000
        assert int(refusal.value.response.headers["retry-after"]) == pytest.approx(wait_ms / 1000, abs=1)
        journal = server.journal()
        assert [(entry.run, entry.call, entry.status) for entry in journal.entries] == [
            ("r", "0", 200),
            ("r", "1", 200),
            ("r", "2", 429),
        ]


def test_the_server_counts_tokens_as_it_will_use_them() -> None:
    terms = Terms(regime=Regime.BUCKET, tokens_per_minute=60, input_tokens=20, output_tokens=50)
    with (
        LimitedServer(terms) as server,
        openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0) as client,
    ):
        usage = client.responses.create(model=MODEL, input="one", max_output_tokens=30).usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (20, 30)
        with pytest.raises(openai.RateLimitError, match="tokens per min"):
            client.responses.create(model=MODEL, input="two")


def test_the_server_sees_what_is_answered_twice_and_who_hangs_up() -> None:
    with (
        LimitedServer(Terms(pause_seconds=3600.0)) as server,
        openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0) as client,
    ):
        with client.responses.create(model=MODEL, input=marked("r", "0"), stream=True) as hasty:
            next(hasty)
        wait_until(lambda: server.in_flight() == 0, "the server sees that nobody waits")
        client.responses.create(model=MODEL, input=marked("r", "0"))
        journal = server.journal()
        assert [entry.delivered for entry in journal.answered] == [False, True]
        assert journal.answered_twice == [("r", "0")]
        assert journal.most_in_flight == 1
        server.forget()
        assert server.journal().entries == []


def test_the_server_refuses_on_demand() -> None:
    with (
        LimitedServer() as server,
        openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0) as client,
    ):
        server.refuse_next(5)
        with pytest.raises(openai.RateLimitError) as refusal:
            client.responses.create(model=MODEL, input="one")
        assert refusal.value.response.headers["retry-after"] == "5"
        assert "word0" in client.responses.create(model=MODEL, input="two").output_text


# --- the fleet -------------------------------------------------------------------------------------------------------


def test_a_known_limit_is_used_and_not_passed(redis_server: RedisServer, tmp_path: Path) -> None:
    # The bucket has room for what workers that stood still for a moment send at once behind it; not for all calls.
    terms = Terms(regime=Regime.BUCKET, requests_per_minute=1200, capacity=100, latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms, limited_to(1000)) as fleet:
        fleet.client.set_limits(SCOPE, requests=1)
        runs = [fleet.client.submit(parallel_calls(f"r{number}", 60)) for number in range(2)]
        wait_until(lambda: fleet.states(runs) == {"waiting": 119}, "all calls wait but the one that was let through")
        opened, _ = fleet.redis.time()
        fleet.client.set_limits(SCOPE, requests=None)
        journal = journal_of(fleet, runs)
        ended_ms = max(run.status().ended_ms or 0 for run in runs)
    assert journal.refused == []
    assert journal.answered_twice == []
    assert (119 - 10) * 60 / 1000 < ended_ms / 1000 - opened < 40, "ten may go at once, and then a thousand a minute"
    first = [entry.run for entry in sorted(journal.answered, key=lambda entry: entry.at)[20:80]]
    assert 0.5 < first.count("r0") / first.count("r1") < 2


def test_headers_tell_an_unknown_limit(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(regime=Regime.BUCKET, requests_per_minute=3000, headers=True, latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms) as fleet:
        journal = run_calls(fleet, calls=100)
        assert fleet.believed_limit() == 3000
    assert journal.refused == []
    assert journal.answered_twice == []


def test_refusals_teach_an_unknown_limit(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(regime=Regime.PACED, requests_per_minute=180, latency_seconds=0.1)
    # So little that a slow machine is refused too; and few threads, each of which may send what is refused where a
    # worker stood still for a moment.
    with fleet_at(redis_server, tmp_path, terms, threads=4) as fleet:
        journal = run_calls(fleet, calls=45, seconds=180)
        learned = fleet.believed_limit()
    assert journal.refused
    assert learned is not None
    # A pause of the workers counts as time in which nobody could call; a simulated fleet learns it within a tenth.
    assert 60 <= learned <= 360
    assert len(journal.refused) < 45
    assert journal.answered_twice == []


def test_calls_that_wait_hold_no_slot(redis_server: RedisServer, tmp_path: Path) -> None:
    with fleet_at(redis_server, tmp_path, Terms(latency_seconds=0.1), limited_to(600)) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 600))
        with fleet.sampled([run]) as samples:
            wait_until(lambda: sum(sample.waiting > 5 for sample in list(samples)) > 20, "calls are seen waiting")
    assert all(sample.running <= sample.held for sample in samples), "who runs has been let through"


def test_a_killed_worker_gives_its_reservations_back(redis_server: RedisServer, tmp_path: Path) -> None:
    # Nothing is answered before the kill, so that it costs just the calls which that worker has under way.
    terms, lease = Terms(latency_seconds=3600.0), {"lease_seconds": 6, "beat_seconds": 0.5}
    with fleet_at(redis_server, tmp_path, terms, limited_to(1200), **lease) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 120))
        wait_until(lambda: fleet.server.in_flight() == 2 * THREADS, "every thread has a call under way")
        fleet.model_workers[0].kill()
        wait_until(lambda: fleet.server.in_flight() == THREADS, "the server sees who has gone")
        fleet.server.release()
        assert have_ended([run], 60)
        assert run.status().success
        assert fleet.gate()["held"]["calls"] == 0
        journal = fleet.server.journal()
    lost = {(entry.run, entry.call) for entry in journal.entries if not entry.delivered}
    assert len(lost) == THREADS
    assert set(journal.answered_twice) == lost


def test_a_refusal_stops_every_worker_until_one_call_has_probed(redis_server: RedisServer, tmp_path: Path) -> None:
    pause = 3.0
    with fleet_at(redis_server, tmp_path, Terms(latency_seconds=0.3), limited_to(2400)) as fleet:
        fleet.server.refuse_next(pause, after=50)
        run = fleet.client.submit(parallel_calls("r0", 200))
        assert have_ended([run], 60)
        assert run.status().success
        (refusal,) = fleet.server.journal().refused
        events = list(run.stream())
    # By the store, which closes the gate: a call that it let through before may reach the server late.
    closed = next(n for n, event in enumerate(events) if "Rate limit" in str(event.data.get("words")))
    probe, *others = (event for event in events[closed:] if event.kind is EventKind.STEP_STARTED)
    assert probe.at_ms + 1 >= (refusal.at + pause) * 1000
    answered = [(event.kind, event.instance) for event in events].index((EventKind.STEP_SUCCEEDED, probe.instance))
    assert events.index(others[0]) > answered
    assert len(others) > 20


def test_a_budget_is_used_and_not_passed(redis_server: RedisServer, tmp_path: Path) -> None:
    price = "input_usd_per_million = 1.0\noutput_usd_per_million = 4.0\n"
    config = f'[budgets.run]\nusd = {20 * 0.00022}\n[models."openai/{MODEL}"]\n{price}'
    with fleet_at(redis_server, tmp_path, Terms(output_tokens=50, latency_seconds=0.1), config) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 60, OnFailure.CONTINUE))
        assert have_ended([run], 60)
        failed = [step for step in run.document(values=False).steps.values() if step.error_type == "BudgetExceeded"]
        answered = len(fleet.server.journal().answered)
    assert 18 <= answered <= 20
    assert len(failed) == 60 - answered
