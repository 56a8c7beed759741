"""What the fleet makes of a provider's limits: 900 calls of three runs, four workers, an account of 600 a minute.

A section is one promise. With one round (`--rounds 1`) what takes minutes is shortened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil  # type: ignore[import-untyped]

from orchestrator_client.client import Run
from orchestrator_client.contract.plan import OnFailure
from tests.conftest import wait_until
from tests.fleet import WorkerProcess
from tests.limited_fleet import MODEL, LimitedFleet, Sample, have_ended, parallel_calls
from tests.limited_server import Entry, Journal, LimitedServer, Terms
from tests.rate_regimes import MINUTE, Regime, allowance, busiest_minute

Figures = Iterator[tuple[str, float, float, str, str]]

RUNS = 3
LEASE_SECONDS, GRACE_SECONDS = 8.0, 6.0
"""A lost worker's calls are given up after its lease, three beats, and a beat of the sweeper and the sampler each."""

BUCKET = Terms(regime=Regime.BUCKET, headers=True, latency_seconds=0.2)
PACED = Terms(regime=Regime.PACED, latency_seconds=0.2)
WINDOW = Terms(regime=Regime.WINDOW, latency_seconds=0.2)


@dataclass
class Drive:
    """Some runs of the same number of calls each, from their submission to their end."""

    terms: Terms
    journal: Journal
    samples: list[Sample]
    calls: int
    """Of all runs."""

    @property
    def times(self) -> list[float]:
        """When the calls came that were let through."""
        return [entry.at for entry in self.journal.answered]

    @property
    def unanswered(self) -> int:
        """Calls that never had an answer."""
        return self.calls - len({(e.run, e.call) for e in self.journal.answered if e.delivered})

    def unused(self, since: float | None = None) -> tuple[float, str]:
        """The share of the allowance that nobody took, and how it was counted.

        The span is from the first request (or `since`) to the last that brought a call for the first time: behind it
        there is no demand but of calls that were lost. The allowance is what the
        regime gives a greedy client, with demand without end and no refusal, in that span, the same meter having seen
        the same calls before it. Of a window it is the span's part of the limit: that a window lets a minute's worth
        through at once and then nothing, no client can know which is not told.
        """
        first = min(entry.at for entry in self.journal.entries) if since is None else since
        begun: dict[tuple[str, str], float] = {}
        for entry in self.journal.answered:
            begun.setdefault((entry.run, entry.call), entry.at)
        last = max(begun.values(), default=first)
        used = sum(1 for at in self.times if first <= at <= last)
        terms, limit = self.terms, self.terms.requests_per_minute
        greedy = allowance(terms.regime, limit, last, self.times, first, terms.capacity)
        allowed = 1 + limit * (last - first) / MINUTE if terms.regime is Regime.WINDOW else greedy
        detail = f"{used} of {allowed:.0f} in {last - first:.1f} s"
        return 1 - used / max(1.0, allowed), f"{detail}, greedily {greedy}" if terms.regime is Regime.WINDOW else detail


def drive(fleet: LimitedFleet, terms: Terms, calls: int, while_it_runs: Callable[[], None] | None = None) -> Drive:
    """Submit three runs of `calls` each, and wait for their end; three times as long as the limit makes it last."""
    patience = 60 + 3 * RUNS * calls * MINUTE / terms.requests_per_minute
    runs = [fleet.client.submit(parallel_calls(f"r{number}", calls)) for number in range(RUNS)]
    with fleet.sampled(runs) as samples:
        if while_it_runs:
            while_it_runs()
        have_ended(runs, patience)
    return Drive(terms, fleet.server.journal(), samples, RUNS * calls)


@contextmanager
def fleet_of_four(url: str, folder: Path, config: str, terms: Terms, threads: int = 16) -> Iterator[LimitedFleet]:
    with LimitedServer() as server, LimitedFleet(url, folder, server, config) as fleet:
        yield fleet.start(threads=threads, lease_seconds=LEASE_SECONDS).warm(terms)


def known(url: str, folder: Path, rounds: int) -> Figures:
    """The limit stands in orchestrator.toml."""
    for terms in (BUCKET, PACED, WINDOW):
        shown, calls = _shortened(terms, rounds)
        with fleet_of_four(url, folder / f"known-{terms.regime}", _limits(shown), shown) as fleet:
            driven = drive(fleet, shown, calls)
        name = f"{terms.regime}, known"
        unused, how = driven.unused()
        yield f"{name}: allowance left unused", unused, 0.02, "", how
        refused = len(driven.journal.refused)
        yield f"{name}: 429s", refused, 1, "", f"busiest minute: {busiest_minute(driven.times)}"
        yield from _whole(name, driven)
        counts = _shares(driven.journal.answered)
        unfair = max(counts.values()) / min(counts.values()) - 1
        yield f"{name}: one run beyond another", unfair, 0.10, "", f"{dict(counts)} of the first two thirds"
        yield _idle_threads(name, driven)


def learned(url: str, folder: Path, rounds: int) -> Figures:
    """Nothing is configured: the limit is told by headers, or by refusals alone."""
    for terms in (BUCKET, PACED, WINDOW):
        shown, calls = _shortened(terms, rounds)
        with fleet_of_four(url, folder / f"learned-{terms.regime}", "", shown) as fleet:
            driven = drive(fleet, shown, calls)
        name = f"{terms.regime}, unknown"
        limit, begun = shown.requests_per_minute, min(entry.at for entry in driven.journal.entries)
        right = [s for s in driven.samples if _close(s.requests_per_minute, limit)]
        learned_at = right[0].at if right else max(driven.times)
        later = [s for s in driven.samples if s.at >= learned_at]
        detail = f"{len(right)} of {len(later)} samples since then within 10 % of {limit}"
        yield f"{name}: until it is learned", max(0.0, learned_at - begun), 60.0, "s", detail
        if right:
            unused, how = driven.unused(since=max(begun, learned_at))
            yield f"{name}: allowance left unused since", unused, 0.02, "", how
        yield from _whole(name, driven, f"{len(driven.journal.refused)} 429s")


def killed(url: str, folder: Path, rounds: int) -> Figures:
    """As where the limit is known, with one of the workers killed half way through."""
    terms, calls = _shortened(replace(PACED, latency_seconds=2.0), rounds)
    lost: list[tuple[float, set[tuple[str, str]]]] = []
    with fleet_of_four(url, folder / "killed", _limits(terms), terms) as fleet:

        def kill_one() -> None:
            wait_until(lambda: fleet.server.requests() >= RUNS * calls / 2, "half of the calls were made", 120)
            lost.append(_kill_the_busiest(fleet))

        driven = drive(fleet, terms, calls, kill_one)
    at, in_hand = lost[0]
    back = next((s.at for s in _settled(driven.samples, at)), driven.samples[-1].at) - at
    bar = LEASE_SECONDS + GRACE_SECONDS
    yield "killed: until its reservations are given back", back, bar, "s", f"{len(in_hand)} calls were in its hands"
    twice = set(driven.journal.answered_twice)
    yield "killed: calls left unanswered", driven.unanswered, 0, "", ""
    detail = f"and {len(twice & in_hand)} that were in its hands"
    yield "killed: others answered twice", len(twice - in_hand), 0, "", detail
    unused, how = driven.unused()
    yield "killed: allowance left unused", unused, 0.05, "", f"{how}; {len(driven.journal.refused)} 429s"


def weather(url: str, folder: Path, rounds: int) -> Figures:
    """One 429 that asks for five seconds, in the midst of steady calls of four workers."""
    terms, pause = Terms(latency_seconds=0.3), 5.0
    config = f'[limits."openai/{MODEL}"]\nrequests_per_minute = 2400\n'
    with fleet_of_four(url, folder / "weather", config, terms) as fleet:
        runs = [fleet.client.submit(parallel_calls(f"r{number}", 150)) for number in range(RUNS)]
        wait_until(lambda: fleet.server.requests() >= 100, "calls are steady", 60)
        fleet.server.refuse_next(pause)
        ended = have_ended(runs, 90)
        journal = fleet.server.journal()
    closed = journal.refused[0].at
    during = [e.at - closed for e in journal.entries if 0 < e.at - closed < pause]
    yield "weather: last request after the 429", max(during, default=0) * 1000, 100, "ms", f"{len(during)} came"
    behind = sorted((e for e in journal.entries if e.at >= closed + pause), key=lambda e: e.at)
    probe, others = behind[0], behind[1:]
    yield "weather: probe after its end", (probe.at - closed - pause) * 1000, 250, "ms", f"status {probe.status}"
    early = sum(1 for e in others if probe.ended is None or e.at < probe.ended)
    first = f"the first came {(others[0].at - (probe.ended or probe.at)) * 1000:.0f} ms after it" if others else "none"
    yield "weather: others before its answer", early, 0, "", first
    left = RUNS * 150 - len({(e.run, e.call) for e in journal.answered})
    yield "weather: calls left unanswered", left, 0, "", f"runs ended: {ended}, 429s: {len(journal.refused)}"


def budget(url: str, folder: Path, rounds: int) -> Figures:
    """200 calls at once on money for 50: 20 tokens in for a dollar a million, 50 out for four."""
    terms, steps, paid = Terms(latency_seconds=0.3, output_tokens=50), 200, 50
    call_usd = (20 * 1.0 + 50 * 4.0) / 1e6
    config = (
        f"[budgets.run]\nusd = {paid * call_usd:.6f}\n"
        f'[models."openai/{MODEL}"]\ninput_usd_per_million = 1.0\noutput_usd_per_million = 4.0\n'
        f'[models."openai/gpt-4o-mini-2024-07-18"]\ninput_usd_per_million = 1.0\noutput_usd_per_million = 4.0\n'
    )
    with LimitedServer() as server, LimitedFleet(url, folder / "budget", server, config) as fleet:
        server.change(terms)
        fleet.start(lease_seconds=LEASE_SECONDS)
        run = fleet.client.submit(parallel_calls("r0", steps, OnFailure.CONTINUE))
        ended = have_ended([run], 120)
        document, answered = run.document(values=False), len(server.journal().answered)
    states = dict(Counter(step.status for step in document.steps.values()))
    detail = f"{answered} calls of {paid} paid; {states}, ended: {ended}, cost {document.usage.cost_usd} USD"
    yield "budget: spent of it", answered / paid, 1.0, "", detail
    yield "budget: left unspent", 1 - answered / paid, 0.05, "", ""


def _shortened(terms: Terms, rounds: int) -> tuple[Terms, int]:
    """Terms, and calls of each of the three runs: 300, or so many that it takes about ten seconds."""
    if rounds > 1:
        return terms, 300
    if terms.regime is Regime.BUCKET:
        return terms, 220  # beyond what the bucket holds, or nothing would be limited
    return replace(terms, requests_per_minute=3000), 150


def _limits(terms: Terms) -> str:
    return f'[limits."openai/{MODEL}"]\nrequests_per_minute = {terms.requests_per_minute}\n'


def _whole(name: str, driven: Drive, detail: str = "") -> Figures:
    yield f"{name}: calls left unanswered", driven.unanswered, 0, "", detail
    twice = driven.journal.answered_twice
    yield f"{name}: calls answered twice", len(twice), 0, "", f"{twice[:3]}" if twice else ""


def _shares(answered: Sequence[Entry]) -> Counter[str]:
    """Answers by run, among the first two thirds of all."""
    in_order = sorted((e for e in answered if e.ended), key=lambda e: e.ended or 0.0)
    counts = Counter({f"r{number}": 0 for number in range(RUNS)})
    counts.update(entry.run for entry in in_order[: len(in_order) * 2 // 3])
    return counts + Counter({run: 1 for run, count in counts.items() if not count})


def _idle_threads(name: str, driven: Drive) -> tuple[str, float, float, str, str]:
    """Threads held by more than calls, while the limit is what calls wait for: in the last quarter of the requests,
    when no bucket has anything left that may go at once."""
    late = sorted(driven.times)[len(driven.times) * 3 // 4]
    saturated = [s for s in driven.samples if s.at >= late and s.waiting]
    excess = [s.running - s.in_flight for s in saturated] or [0]
    detail = f"median {median(excess):.0f} in {len(saturated)} samples; {driven.journal.most_in_flight} calls at once"
    return f"{name}: threads busy without a call", max(excess), 5, "", detail


def _close(believed: float | None, limit: int) -> bool:
    return believed is not None and abs(believed / limit - 1) <= 0.10


def _kill_the_busiest(fleet: LimitedFleet) -> tuple[float, set[tuple[str, str]]]:
    """Kill the model worker with the most calls under way; returns when, and the calls in its hands."""
    ports = {worker.process.pid: _ports(worker) for worker in fleet.model_workers}
    entries = fleet.server.journal().entries

    def under_way(worker: WorkerProcess) -> list[Entry]:
        return [entry for entry in entries if entry.ended is None and entry.port in ports[worker.process.pid]]

    victim = max(fleet.model_workers, key=lambda worker: len(under_way(worker)))
    victim.kill()
    journal = fleet.server.journal()
    at = max(entry.ended for entry in journal.entries if entry.ended and not entry.delivered)
    mine = _ports_used(journal.entries, ports[victim.process.pid], at)
    return at, {(entry.run, entry.call) for entry in mine}


def _ports(worker: WorkerProcess) -> set[int]:
    return {connection.laddr.port for connection in psutil.Process(worker.process.pid).net_connections("tcp")}


def _ports_used(entries: Sequence[Entry], ports: set[int], at: float) -> list[Entry]:
    """Calls by these ports that were not answered yet, or so shortly before that their step was not settled."""
    return [e for e in entries if (e.port in ports and (e.ended or at) >= at - 0.5) or (e.ended and not e.delivered)]


def _settled(samples: Sequence[Sample], since: float) -> Iterator[Sample]:
    """Samples from which on, for a second, the gate held no more than two calls beyond those under way."""
    behind = [s for s in samples if s.at > since]
    for number, sample in enumerate(behind):
        if all(s.held - s.in_flight <= 2 for s in behind[number : number + 10]):
            yield sample


def calls_under_way(journal: Journal, since: float, until: float) -> float:
    """Mean number of calls at the server between two moments."""
    spans = [(max(e.at, since), min(e.ended or until, until)) for e in journal.answered]
    return sum(max(0.0, end - begin) for begin, end in spans) / (until - since)


def runs_of(fleet: LimitedFleet, count: int, calls: int) -> list[Run]:
    return [fleet.client.submit(parallel_calls(f"r{number}", calls)) for number in range(count)]
