"""A provider's limits, kept by a fleet of real workers; and the server that enforces them, which is tested first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from orchestrator_client.contract.plan import OnFailure
from tests.conftest import RedisServer, wait_until
from tests.limited_fleet import MODEL, LimitedFleet, have_ended, parallel_calls
from tests.limited_server import Journal, LimitedServer, Terms, marked
from tests.rate_regimes import Bucket, Regime, Window, allowance, busiest_minute

START = 1_750_000_000.0

FAST = {"lease_seconds": 3, "beat_seconds": 0.3, "hint_seconds": 1}


def limited_to(requests_per_minute: int) -> str:
    return f'[limits."openai/{MODEL}"]\nrequests_per_minute = {requests_per_minute}\n'


@contextmanager
def fleet_at(server: RedisServer, folder: Path, terms: Terms, config: str = "") -> Iterator[LimitedFleet]:
    """Two model workers, warm, and a server with these terms."""
    with LimitedServer() as limited, LimitedFleet(server.url, folder, limited, config) as fleet:
        yield fleet.start(models=2, threads=16, **FAST).warm(terms)


def run_calls(fleet: LimitedFleet, runs: int, calls: int, seconds: float = 60.0) -> Journal:
    """All calls of some runs at once; every one of them succeeds."""
    submitted = [fleet.client.submit(parallel_calls(f"r{number}", calls)) for number in range(runs)]
    assert have_ended(submitted, seconds)
    assert [run.status().state for run in submitted] == ["succeeded"] * runs
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
    terms = Terms(regime=Regime.BUCKET, requests_per_minute=60, capacity=2, headers=True)
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
        assert int(refusal.value.response.headers["retry-after"]) == 1
        assert 0 < int(refusal.value.response.headers["retry-after-ms"]) <= 1000
        journal = server.journal()
        assert [(entry.run, entry.call, entry.status) for entry in journal.entries] == [
            ("r", "0", 200),
            ("r", "1", 200),
            ("r", "2", 429),
        ]


def test_the_server_counts_tokens_as_it_will_use_them() -> None:
    terms = Terms(regime=Regime.BUCKET, tokens_per_minute=100, input_tokens=20, output_tokens=50)
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
    with LimitedServer(Terms(latency_seconds=0.5)) as server:
        hasty = openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0, timeout=0.1)
        with hasty, pytest.raises(openai.APITimeoutError):
            hasty.responses.create(model=MODEL, input=marked("r", "0"))
        wait_until(lambda: server.in_flight() == 0, "the server sees that nobody waits")
        with openai.OpenAI(base_url=server.url, api_key="sk-x", max_retries=0) as client:
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
    terms = Terms(regime=Regime.PACED, requests_per_minute=1200, latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms, limited_to(1000)) as fleet:
        journal = run_calls(fleet, runs=2, calls=60)
    assert journal.refused == []
    assert journal.answered_twice == []
    times = [entry.at for entry in journal.answered]
    assert 120 * 60 / 1000 - 2 < max(times) - min(times) < 20
    first = [entry.run for entry in sorted(journal.answered, key=lambda entry: entry.at)[20:80]]
    assert 0.5 < first.count("r0") / first.count("r1") < 2


def test_headers_tell_an_unknown_limit(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(regime=Regime.BUCKET, requests_per_minute=3000, headers=True, latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms) as fleet:
        journal = run_calls(fleet, runs=1, calls=100)
        assert fleet.believed_limit() == 3000
    assert journal.refused == []
    assert journal.answered_twice == []


def test_refusals_teach_an_unknown_limit(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(regime=Regime.PACED, requests_per_minute=600, latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms) as fleet:
        journal = run_calls(fleet, runs=1, calls=150, seconds=90)
        learned = fleet.believed_limit()
    assert journal.refused
    assert learned is not None
    assert 300 <= learned <= 1200
    assert len(journal.refused) < 50
    assert journal.answered_twice == []


def test_calls_that_wait_hold_no_slot(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(latency_seconds=0.1)
    with fleet_at(redis_server, tmp_path, terms, limited_to(600)) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 60))
        with fleet.sampled([run]) as samples:
            assert have_ended([run], 60)
    waiting = [sample for sample in samples if sample.waiting > 5]
    assert len(waiting) > 10
    assert max(sample.running for sample in waiting) < 16, "2 workers of 16 threads; ten calls a second take 0.1 s each"


def test_a_killed_worker_gives_its_reservations_back(redis_server: RedisServer, tmp_path: Path) -> None:
    terms = Terms(latency_seconds=1.5)
    with fleet_at(redis_server, tmp_path, terms, limited_to(1200)) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 120))
        wait_until(lambda: fleet.server.requests() > 40, "calls are under way")
        fleet.model_workers[0].kill()
        assert have_ended([run], 60)
        assert run.status().success
        assert fleet.gate()["held"]["calls"] == 0
        journal = fleet.server.journal()
    lost = {(entry.run, entry.call) for entry in journal.entries if not entry.delivered}
    assert lost
    # Those whose answer had just come when their worker died are asked again too.
    assert len(set(journal.answered_twice) - lost) <= 5
    assert lost <= set(journal.answered_twice)


def test_a_refusal_stops_every_worker_until_one_call_has_probed(redis_server: RedisServer, tmp_path: Path) -> None:
    pause = 3.0
    with fleet_at(redis_server, tmp_path, Terms(latency_seconds=0.3), limited_to(2400)) as fleet:
        run = fleet.client.submit(parallel_calls("r0", 200))
        wait_until(lambda: fleet.server.requests() > 50, "calls are under way")
        fleet.server.refuse_next(pause)
        assert have_ended([run], 60)
        assert run.status().success
        journal = fleet.server.journal()
    (refusal,) = journal.refused
    during = [entry for entry in journal.entries if refusal.at + 1 < entry.at < refusal.at + pause]
    assert during == []
    probe, *others = sorted((e for e in journal.entries if e.at >= refusal.at + pause), key=lambda entry: entry.at)
    assert probe.ended is not None
    assert all(entry.at >= probe.ended for entry in others)
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
