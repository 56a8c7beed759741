"""What must hold at every moment, whatever happens; judged by what passes the seam, and by what the store holds.

The names are those of the catalogue of invariants:

S1 one outcome an instance, and it never changes · S2 nothing starts before all that it waits for has ended, and it
reads what those have left · S3 one attempt holds an instance, and only that one's outcome is recorded · S4 nothing
starts after a cancellation was acknowledged, or after the end · S5 reserved and spent never pass the cap, and what was
used is spent · S6 no more tries than a step has · S7 what is open is what was reached and has not ended · S8 no more
calls under way than a provider allows, and what dies gives its place back · S9 a value is written once · S10 what a run
comes to is what its plan says · CHORD the chord calls its body when all has ended, not before.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import Receipt, RunState
from orchestrator_worker.compiler import Graph, compile_plan
from orchestrator_worker.context.places import place_of
from tests.simulation.seam import Operation
from tests.simulation.world import IN_FLIGHT, World

LOST_TRIES = 3
"""Tries of a step whose workers die under it."""


class Violated(AssertionError):
    """An invariant does not hold. The first word says which."""


Key = tuple[str, str]
"""Run and instance."""


@dataclass
class Seen:
    """One run, as it passed the seam."""

    plan: Plan
    graph: Graph
    started: bool = False
    cancelled: bool = False
    paused: bool = False
    halted: bool = False
    closed: str = ""
    reached: set[str] = field(default_factory=set)
    """Instances that became ready at some time."""
    outcomes: dict[str, str] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    """The number of the attempt that may start next, or holds the instance."""
    holders: dict[str, str] = field(default_factory=dict)
    """Instance -> token of the claim that holds it."""
    lost: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Instance -> tries in which its worker died."""
    tries: dict[tuple[str, int], int] = field(default_factory=dict)
    """Instance and attempt -> which try that is."""


class Watch:
    """All runs of one schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: dict[str, Seen] = {}
        self.admitted: set[Key] = set()
        self.budgets: dict[str, int] = {}
        """Budget -> its cap, billionths of a dollar."""
        self.graphs: dict[str, Graph] = {}
        self.counts: Counter[str] = Counter()

    def calls_by(self, run: str, instance: str, attempt: int) -> int:
        """How often a tool was called by this attempt and those before it, but for those that were lost."""
        seen = self.runs[run]
        tries = seen.tries[instance, attempt]
        return tries - sum(lost < tries for lost in seen.lost[instance])

    # --- what passes the seam ----------------------------------------------------------------------------------

    def saw(self, operation: Operation, reply: Any) -> None:
        """An operation was performed."""
        if operation.name in JUDGED:
            args = [arg if type(arg) is str else _text(arg) for arg in operation.args]
            getattr(self, f"_{operation.name}")(args, reply)
        if self.budgets and operation.name in MONEY:
            self.check_money()

    def _submit(self, args: Sequence[str], reply: int) -> None:
        if reply == 1:
            plan = PLANS[args[4]]
            if (graph := self.graphs.get(args[4])) is None:
                graph = self.graphs[args[4]] = compile_plan(plan)
            self.runs[args[1]] = Seen(plan, graph)
            if args[14] and self._run(args[14]).cancelled:
                raise Violated(f"S4 run {args[1]} was started by {args[14]}, which is cancelled")
            self.runs[args[1]].paused = bool(args[14]) and self._run(args[14]).paused

    def _cancel(self, args: Sequence[str], reply: Any) -> None:
        if reply in (b"submitted", b"running"):
            self._cancel_all([args[1], *self._below(args[1])])

    def _cancel_all(self, runs: Iterable[str]) -> None:
        for run in runs:
            self.runs[run].cancelled, self.runs[run].paused = True, False

    def _pause(self, args: Sequence[str], reply: Any) -> None:
        if reply[0] in (b"submitted", b"running") and reply[1] == b"run":
            for run in (args[1], *self._below(args[1])):
                self.runs[run].paused = not self.runs[run].cancelled

    def _resume(self, args: Sequence[str], reply: Any) -> None:
        if reply[0] in (b"submitted", b"running") and reply[1] == b"pause":
            for run in (args[1], *self._below(args[1])):
                self.runs[run].paused = False

    def _below(self, run: str) -> Iterator[str]:
        """The runs that it has started and that go on, and those below them."""
        for child in self.world.wire.ask("HKEYS", names.RunKeys(run).children):
            if not self.runs[child.decode()].closed:
                yield child.decode()
                yield from self._below(child.decode())

    def _start_run(self, args: Sequence[str], reply: Any) -> None:
        run = self._run(args[1])
        if reply[0] == b"cancelled" and not run.closed:
            run.closed = "cancelled"
        if reply[0] != b"started":
            return
        if run.started:
            raise Violated(f"S1 run {args[1]} was started twice")
        if run.cancelled or run.paused:
            raise Violated(f"S4 run {args[1]} was started, and it was cancelled or paused")
        run.started = True
        run.reached |= set(args[4::2])

    def _claim(self, args: Sequence[str], reply: Any) -> None:
        name, instance, attempt, token = args[1], args[2], int(args[3]), args[5]
        run = self._run(name)
        if reply[0] == b"cancelled":
            if not (run.cancelled or run.halted):
                raise Violated(f"S1 {instance} was cancelled in a run that goes on")
            if run.holders.pop(instance, token) != token:
                raise Violated(f"S3 {instance} was cancelled while another claim holds it")
            self._end(run, name, instance, "cancelled")
        if reply[0] != b"go":
            return
        self.counts["claims"] += 1
        if run.cancelled or run.halted or run.closed:
            raise Violated(f"S4 attempt {attempt} of {instance} started; the run was cancelled or had ended")
        if run.paused and instance not in run.holders and run.plan.step_at(instance) is not None:
            raise Violated(f"S4 attempt {attempt} of {instance} started; the run is paused")
        if instance in run.outcomes:
            raise Violated(f"S1 attempt {attempt} of {instance} started, which has its outcome")
        if run.holders.get(instance, token) != token:
            raise Violated(f"S3 attempt {attempt} of {instance} started while another one holds it")
        if attempt != run.attempts.setdefault(instance, 1):
            raise Violated(f"S3 attempt {attempt} of {instance} started, and it was {run.attempts[instance]}'s turn")
        run.holders[instance] = token
        self._check_waited(run, name, instance)
        self._check_reads(run, args, reply)
        run.tries[instance, attempt] = attempt - int(reply[3])
        self._check_tries(run, instance, attempt - int(reply[3]))

    def _settle(self, args: Sequence[str], reply: Any) -> None:
        name, instance, attempt = args[1], args[2], int(args[3])
        run = self._run(name)
        if reply[0] == b"again" and run.outcomes.get(instance) != args[4]:
            raise Violated(f"S1 {instance} was settled again, with another outcome")
        if reply[0] != b"settled":
            return
        if attempt != run.attempts.get(instance) or instance not in run.holders:
            raise Violated(f"S3 attempt {attempt} of {instance} was settled, and does not hold it")
        if json.loads(args[4])["attempt"] != attempt:
            raise Violated(f"S3 the receipt of {instance} is not of attempt {attempt}")
        del run.holders[instance]
        if '"WorkerLost"' in args[4]:
            run.lost[instance].add(run.tries[instance, attempt])
        self._end(run, name, instance, args[4])
        run.values[instance] = args[7].encode()
        if args[9] == "1" and not run.halted:
            run.halted = True
            self._cancel_all(self._below(name))
        for ready, number in zip(reply[1::2], reply[2::2], strict=True):
            self._make_ready(run, name, ready.decode(), int(number))

    def _park(self, args: Sequence[str], reply: Any) -> None:
        name, instance, attempt = args[1], args[2], int(args[3])
        run = self._run(name)
        if reply[0] not in (b"parked", b"ready"):
            return
        if attempt != run.attempts.get(instance) or instance not in run.holders:
            raise Violated(f"S3 attempt {attempt} of {instance} was parked, and does not hold it")
        if run.cancelled or run.halted:
            raise Violated(f"S4 {instance} was parked for another attempt; the run was cancelled or had failed")
        del run.holders[instance]
        if '"WorkerLost"' in args[6]:
            run.lost[instance].add(run.tries[instance, attempt])
            self.counts["lost"] += 1
        run.attempts[instance] = attempt + 1
        for asked, queue in zip(args[16::3], args[17::3], strict=False):
            if queue:
                self._make_ready(run, name, asked, 1)

    def _ask(self, args: Sequence[str], reply: Any) -> None:
        if reply == b"ready":
            self._make_ready(self._run(args[1]), args[1], args[4], 1)

    def _close_run(self, args: Sequence[str], reply: Any) -> None:
        run = self._run(args[1])
        if reply[0] != b"closed":
            return
        if run.closed:
            raise Violated(f"S1 run {args[1]} was closed twice")
        if open_ := run.reached - run.outcomes.keys():
            raise Violated(f"S7 run {args[1]} was closed while {sorted(open_)} were open")
        run.closed = "cancelled" if run.cancelled and args[2] == "succeeded" else args[2]

    def body_called(self, name: str) -> None:
        """The chord of a run calls its body now."""
        run = self._run(name)
        if open_ := run.reached - run.outcomes.keys():
            raise Violated(f"CHORD of {name} called its body while {sorted(open_)} were open")

    # --- rules -------------------------------------------------------------------------------------------------

    def _run(self, name: str) -> Seen:
        return self.runs[name]

    def _end(self, run: Seen, name: str, instance: str, outcome: str) -> None:
        if instance in run.outcomes:
            raise Violated(f"S1 {instance} of {name} has two outcomes: {run.outcomes[instance]} and {outcome}")
        if instance not in run.reached:
            raise Violated(f"S2 {instance} of {name} has ended and was never ready")
        run.outcomes[instance] = outcome

    def _make_ready(self, run: Seen, name: str, instance: str, attempt: int) -> None:
        if instance in run.outcomes:
            raise Violated(f"S1 {instance} of {name} became ready and has its outcome")
        if attempt == 1 and instance in run.reached:
            raise Violated(f"S2 {instance} of {name} became ready twice")
        if run.closed:
            raise Violated(f"S7 {instance} of {name} became ready after the run's end")
        run.reached.add(instance)
        self._check_waited(run, name, instance)

    def _check_waited(self, run: Seen, name: str, instance: str) -> None:
        place = place_of(run.graph, instance)
        if place.step is None:
            return
        for before in place.step.predecessors:
            if f"{place.prefix}{before}" not in run.outcomes:
                raise Violated(f"S2 {instance} of {name} is ready or has started, and {before} has not ended")

    @staticmethod
    def _check_reads(run: Seen, args: Sequence[str], reply: Any) -> None:
        reads = args[9 + int(args[8]) :]
        for instance, found in zip(reads, reply[len(reply) - len(reads) :], strict=True):
            if found != run.values.get(instance) and found != b"":
                raise Violated(f"S9 {args[2]} reads {found!r} of {instance}, which left {run.values.get(instance)!r}")

    @staticmethod
    def _check_tries(run: Seen, instance: str, tries: int) -> None:
        step = place_of(run.graph, instance).step
        if step is None or step.loop is not None:
            return
        attempts = step.retry.attempts
        most = max(LOST_TRIES, attempts or LOST_TRIES)
        if tries > most:
            raise Violated(f"S6 {instance} is tried for the {tries}th time; it has {most} tries")

    # --- what the store holds ----------------------------------------------------------------------------------

    def check_money(self) -> None:
        for budget, cap in self.budgets.items():
            stored = self.world.wire.ask("HMGET", names.budget(budget), "cap", "spent", "reserved")
            set_, spent, reserved = (int(float(part)) if part else None for part in stored)
            if (spent or 0) + (reserved or 0) > (set_ or cap):
                raise Violated(f"S5 budget {budget}: {spent} spent and {reserved} reserved of {set_ or cap}")

    def check_store(self) -> None:
        """Compare all runs with what passed the seam."""
        for name, run in self.runs.items():
            keys = names.RunKeys(name)
            state, open_, instances, receipts, values, gate = self._read(keys)
            ended = {_text(instance): _text(stored).split(" ", 1)[1] for instance, stored in receipts.items()}
            at = {_text(instance): _text(stored).split("|") for instance, stored in instances.items()}
            self._check_outcomes(name, run, ended)
            if at.keys() != run.reached - run.outcomes.keys() or open_ != len(at):
                raise Violated(f"S7 {name}: {open_} are open, {sorted(at)} stand there, and reached are {run.reached}")
            held = {instance for instance, (where, *_) in at.items() if where in ("running", "late")}
            if held != run.holders.keys():
                raise Violated(f"S3 {name}: {sorted(held)} are held in the store, {sorted(run.holders)} were claimed")
            if {_text(instance): value for instance, value in values.items()} != run.values:
                raise Violated(f"S9 {name}: values have changed since they were written")
            if run.closed and state != run.closed:
                raise Violated(f"S10 {name} was closed as {run.closed} and is {state}")
            if gate and json.loads(gate)["held"]["calls"] > IN_FLIGHT:
                raise Violated(f"S8 {json.loads(gate)['held']['calls']} calls are under way; {IN_FLIGHT} may be")

    def _read(self, keys: names.RunKeys) -> Any:
        (state, open_), *hashes, gate = self.world.wire.ask_all(
            [
                ("HMGET", keys.record, "state", "open"),
                ("HGETALL", keys.instances),
                ("HGETALL", keys.receipts),
                ("HGETALL", keys.values),
                ("HGET", names.gate("sim/default/m"), "state"),
            ]
        )
        pairs = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in hashes]
        return _text(state), int(open_ or 0), *pairs, gate

    @staticmethod
    def _check_outcomes(name: str, run: Seen, ended: dict[str, str]) -> None:
        for instance, outcome in run.outcomes.items():
            stored = ended.pop(instance, None)
            same = stored == outcome or (outcome == "cancelled" and stored and '"outcome":"cancelled"' in stored)
            if not same:
                raise Violated(f"S1 {name}: the outcome of {instance} was {outcome} and is {stored}")
        if ended:
            raise Violated(f"S1 {name}: nobody has recorded the outcomes of {sorted(ended)}")


PLANS: dict[str, Plan] = {}
"""Plans that schedules may submit, by their hashes."""

JUDGED = frozenset({"submit", "cancel", "pause", "resume", "start_run", "claim", "settle", "park", "ask", "close_run"})
"""Scripts that change what is known of a run."""

MONEY = frozenset({"admit", "promote", "settle", "park", "claim", "set_budget"})


def outcome_of(stored: str) -> str:
    return "cancelled" if stored == "cancelled" else str(Receipt.model_validate_json(stored).outcome)


def ended(state: str) -> bool:
    return RunState(state).ended


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
