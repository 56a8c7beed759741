"""The processes of one schedule: who there is, what each of their actors waits to do, and what befalls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import greenlet
import redis
from kombu.exceptions import OperationalError

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import OrchestratorError
from tests.simulation.seam import Actor, Operation, ask
from tests.simulation.transport_seam import Message
from tests.simulation.watch import Violated, Watch
from tests.simulation.work import beat, give_up, perform_message
from tests.simulation.world import Engine, World

FAULTS = ("before", "after", "die", "die after", "crash", "crash after", "freeze")
"""What may befall an operation: it is not done, or done, and the caller is told that the store is away; the child that
asked dies before or after it; the whole worker does; it is frozen before it."""

TASKS = 2
"""Messages that one worker works on at a time."""

DAEMONS = ("beat", "pump", "sweep")


class Process:
    """One of them: a worker with its tasks, its beat and its pump; or what is outside of the fleet."""

    def __init__(self, name: str, engine: Engine | None = None) -> None:
        self.name, self.engine = name, engine
        self.actors: list[Actor] = []
        self.frozen, self.alive = False, True

    def __repr__(self) -> str:
        return self.name

    @property
    def goes_on(self) -> bool:
        return self.alive and not self.frozen

    @property
    def tasks(self) -> list[Actor]:
        """Those that work on a message."""
        return [actor for actor in self.actors if actor.message is not None]

    @property
    def steps(self) -> list[Message]:
        """The messages of steps that it works on."""
        return [actor.message for actor in self.tasks if actor.message.task == names.STEP_TASK]


class Processes:
    """All of them. The store is compared with what was seen of it once in `often` operations."""

    def __init__(self, world: World, watch: Watch, often: int) -> None:
        self._world, self._watch, self._often = world, watch, often
        self.workers = [Process(engine.worker, engine) for engine in world.engines]
        self.outside = Process("client")
        self.operations = 0
        self.faults: Counter[str] = Counter()

    def that_go_on(self) -> list[Process]:
        return [process for process in self.workers if process.alive and not process.frozen]

    def idle(self) -> list[Process]:
        """Workers that would take a message."""
        return [process for process in self.that_go_on() if len(process.actors) < TASKS or len(process.tasks) < TASKS]

    def runnable(self) -> list[Actor]:
        actors: list[Actor] = []
        for process in self.that_go_on():
            actors += process.actors
        return actors + self.outside.actors

    # --- what an actor does ------------------------------------------------------------------------------------

    def go_on(self, actor: Actor, fault: str | None = None) -> None:
        """Perform what an actor waits for, or have something befall it."""
        operation, process = actor.operation, actor.process
        assert operation is not None
        if fault is not None:
            self.faults[fault] += 1
        if operation.kind == "end":
            self.kill(process)
        elif fault is None:
            self._resume(actor, actor.switch, self._performed(operation))
        elif fault == "before":
            self._resume(actor, actor.throw, operation.away())
        elif fault == "freeze":
            process.frozen = True
        else:
            if fault.endswith("after"):
                self._performed(operation)
            if fault == "after":
                self._resume(actor, actor.throw, operation.away())
            elif fault.startswith("crash") or actor.message is None or actor.message.task != names.STEP_TASK:
                self.kill(process)
            else:
                self._kill_child(actor)

    def _performed(self, operation: Operation) -> Any:
        self.operations += 1
        try:
            reply = operation.perform()
        except redis.ResponseError as error:
            raise Violated(f"SCRIPT {operation.name} failed half-way: {error}") from None
        if operation.kind == "store":
            self._watch.saw(operation, reply)
        if self.operations % self._often == 0:
            self._watch.check_store()
        return reply

    def _resume(self, actor: Actor, how: Callable[..., Any], *what: Any) -> None:
        """Let an actor run to its next operation, or to its end."""
        actor.parent = greenlet.getcurrent()
        how(*what)
        if actor.dead:
            self._forget(actor)
        if self._world.unexpected:
            raise self._world.unexpected[0]

    @staticmethod
    def _forget(actor: Actor) -> None:
        if actor in actor.process.actors:
            actor.process.actors.remove(actor)

    # --- who begins --------------------------------------------------------------------------------------------

    def begin(self, process: Process, name: str, work: Callable[[], Any], message: Message | None = None) -> None:
        actor = Actor(name, process, work)
        actor.message = message
        process.actors.append(actor)
        self._resume(actor, actor.switch)

    def deliver(self, process: Process, message: Message) -> None:
        self.begin(process, "task", lambda: perform_message(self._world, message), message)

    def begin_daemon(self, process: Process, name: str) -> None:
        """A round of a worker's daemon, if the one before is over."""
        if any(actor.name == name for actor in process.actors):
            return
        engine, held = process.engine, process.steps
        rounds: dict[str, Callable[[], Any]] = {
            "beat": lambda: beat(engine, held, lambda message: self._stop_call(process, message)),
            "pump": engine.scheduler.promote,
            "sweep": engine.scheduler.sweep,
        }
        self.begin(process, name, lambda: as_a_daemon(rounds[name]))

    def _stop_call(self, process: Process, message: Message) -> None:
        for actor in process.tasks:
            if actor.message is message:
                self._end(actor)

    # --- who ends ----------------------------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """kill -9."""
        for actor in list(process.actors):
            self._end(actor)
        process.alive, process.frozen = False, False

    def _kill_child(self, actor: Actor) -> None:
        """The child of one task dies; its parent notices, and concludes the attempt."""
        process, message = actor.process, actor.message
        self._end(actor)
        self.begin(process, "parent", lambda: as_a_daemon(lambda: give_up(process.engine, message)))

    def _end(self, actor: Actor) -> None:
        actor.killed = True
        actor.parent = greenlet.getcurrent()
        actor.throw()
        self._forget(actor)

    def replace(self, process: Process) -> None:
        """Another worker in the place of a dead one, which knows nothing."""
        process.alive, process.frozen = True, False
        process.engine.restart()

    def stop(self, process: Process) -> None:
        """SIGTERM, and what a worker does with what it has not done in time."""

        def hand_back() -> None:
            for message in process.steps:
                as_a_daemon(lambda args=message.args: process.engine.scheduler.hand_back(*args))
            ask(Operation("end", "exit", lambda: None))

        self.begin(process, "stop", hand_back)

    def end_all(self) -> None:
        for process in [*self.workers, self.outside]:
            self.kill(process)


def as_a_daemon(work: Callable[[], Any]) -> None:
    """Whatever befalls a daemon's round, the next one is another."""
    try:
        work()
    except (OrchestratorError, OperationalError):
        return
