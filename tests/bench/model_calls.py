"""What a model call costs besides the call: latency through the engine, streamed text, and a day of slow calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import psutil  # type: ignore[import-untyped]

from orchestrator_client.contract.event import Delta
from tests.bench.limits import calls_under_way, runs_of
from tests.limited_fleet import MODEL, LimitedFleet, call_chain, have_ended
from tests.limited_server import Entry, LimitedServer, Terms, marked

Figures = Iterator[tuple[str, float, float, str, str]]

SLOTS = 64


def latency(url: str, folder: Path, rounds: int) -> Figures:
    """A chain of calls on an idle fleet against the same calls by the bare SDK, one after another.

    A call takes from its arrival at the server to the arrival of the next, which is behind it, in both: so the figure
    holds all that the engine does between two steps. Both percentiles are over the median of the SDK's.
    """
    calls = 200 if rounds > 1 else 50
    with LimitedServer() as server, LimitedFleet(url, folder / "latency", server) as fleet:
        fleet.start(models=1).warm(Terms())
        run = fleet.client.submit(call_chain("chain", calls))
        ended = have_ended([run], 120)
        mine = _gaps_ms(server.journal().answered)
        server.forget()
        asyncio.run(_bare_calls(server.url, calls))
        bare = _gaps_ms(server.journal().answered)
    usual = median(bare)
    detail = f"{median(mine):.1f} ms, bare {usual:.1f} ms; {len(mine) + 1} of {calls} calls, ended: {ended}"
    yield "a model step over the bare SDK, p50", median(mine) - usual, 15, "ms", detail
    slow, bare_slow = quantiles(mine, n=100)[98], quantiles(bare, n=100)[98]
    yield "a model step over the bare SDK, p99", slow - usual, 60, "ms", f"{slow:.1f} ms, bare p99 {bare_slow:.1f} ms"


def _gaps_ms(answered: Sequence[Entry]) -> list[float]:
    times = sorted(entry.at for entry in answered)
    return [(later - earlier) * 1000 for earlier, later in pairwise(times)][5:]  # warm by then


async def _bare_calls(url: str, calls: int) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="sk-bare", max_retries=0) as client:
        for number in range(calls):
            await client.responses.create(model=MODEL, input=marked("bare", f"c{number}"), max_output_tokens=50)


def deltas(url: str, folder: Path, rounds: int) -> Figures:
    """From the moment at which the server sends the first piece of a streamed text to that at which a reader of the
    run's stream has it: the way over loopback, through the SDK, the worker and Redis."""
    calls = 30 if rounds > 1 else 10
    with LimitedServer() as server, LimitedFleet(url, folder / "deltas", server) as fleet:
        fleet.start(models=1).warm(Terms(pause_seconds=0.02, output_tokens=10))
        read: dict[str, float] = {}
        for message in fleet.client.submit(call_chain("chain", calls)).stream(timeout=60, mode="messages"):
            if isinstance(message, Delta):
                read.setdefault(message.instance, time.time())
        spoken = {entry.call: entry.spoken for entry in server.journal().answered if entry.spoken}
    taken = [read[call] - at for call, at in spoken.items() if call in read]
    detail = f"{len(taken)} of {calls} streamed" + (f", slowest {max(taken) * 1000:.1f} ms" if taken else "")
    yield "first piece of text until it is read, p50", median(taken or [60.0]) * 1000, 15, "ms", detail


def slow_calls(url: str, folder: Path, rounds: int) -> Figures:
    """One worker of 64 threads, and calls of a second for as long as they last."""
    calls = 1000 if rounds > 1 else 200
    config = f'[limits."openai/{MODEL}"]\nin_flight = {SLOTS}\n'
    with LimitedServer() as server, LimitedFleet(url, folder / "slow", server, config) as fleet:
        fleet.start(models=1, threads=SLOTS).warm(Terms(latency_seconds=1.0))
        (worker,) = fleet.model_workers
        process = psutil.Process(worker.process.pid)
        runs = runs_of(fleet, 5, calls)
        memory, sockets = _watched(server, process, 5 * calls)
        ended = have_ended(runs, 60)
        journal = server.journal()
    times = sorted(entry.at for entry in journal.answered)
    mean = calls_under_way(journal, times[min(500, len(times) // 2)], times[-1])
    detail = f"{mean:.2f} in flight, {len(times)} calls in {times[-1] - times[0]:.1f} s, ended: {ended}"
    yield "slow calls: slots without a call, of 64", SLOTS - mean, 2, "", detail
    early, late = memory[0], max(memory[-3:])
    detail = f"{early / 1e6:.1f} MB at 500 calls, {late / 1e6:.1f} MB at the end"
    yield "slow calls: growth of the worker after 500", late / early - 1, 0.05, "", detail
    # From half way on: by then as many connections to Redis are pooled as threads ever ask for at a time.
    later = sockets[len(sockets) // 2 :]
    detail = f"{sockets[0]} at 500 calls, {later[0]} half way, {max(sockets)} at most"
    yield "slow calls: sockets more than half way", max(later) - later[0], 2, "", detail


def _watched(server: LimitedServer, process: psutil.Process, calls: int) -> tuple[list[int], list[int]]:
    """Resident bytes and open sockets of a worker, each second from the five hundredth call on."""
    memory, sockets = [], []
    deadline = time.monotonic() + 60 + 3 * calls / SLOTS
    while (made := server.requests()) < calls and time.monotonic() < deadline:
        if made >= 500:
            memory.append(process.memory_info().rss)
            sockets.append(len(process.net_connections("all")))
        time.sleep(1.0)  # between two looks
    return memory, sockets
