"""What production takes for its Celery application: messages in a bag, out of which the schedule takes what it likes,
and a chord that counts its parts as Celery 5.7 does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kombu.exceptions import OperationalError

from orchestrator_client.contract import names
from tests.simulation.seam import Operation, ask
from tests.simulation.wire import Wire


@dataclass(eq=False)
class Message:
    """One message under way. As request of a task it is what Celery makes of it."""

    task: str
    id: str
    args: list[Any]
    queue: str
    group: str | None = None
    chord: Any = None
    ignore_result: bool = True

    def __repr__(self) -> str:
        return f"{self.task.rpartition('.')[2]}{self.args or [self.id]}"

    def copy(self) -> Message:
        return Message(self.task, self.id, list(self.args), self.queue, self.group, self.chord, self.ignore_result)


def away() -> Exception:
    return OperationalError("simulated: the broker hung up")


@dataclass
class Chord:
    """How Celery counts the parts of one run."""

    parts: set[str] = field(default_factory=set)
    done: bool = False


class Transport:
    """The bag, and the chords."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.bag: list[Message] = []
        self.chords: dict[str, Chord] = {}
        self.on_body: Any = None
        """Told of the run whose chord calls its body, at that moment."""
        self.backend = self
        self.producer_pool = self

    # --- as an application -------------------------------------------------------------------------------------

    def get_key_for_group(self, group: str, suffix: str) -> str:
        return f"orc:{{{group}}}:chord{suffix}"

    @contextlib.contextmanager
    def acquire(self, block: bool) -> Iterator[Producer]:
        yield Producer(self)

    def _send(self, messages: list[Message]) -> None:
        ask(Operation("transport", "publish", lambda: self.bag.extend(messages), tuple(messages), away))

    # --- as a result backend -----------------------------------------------------------------------------------

    def on_chord_part_return(self, request: Message, state: str, result: Any) -> None:
        """Count a part; who counts the last one sends the body."""
        if request.group is None or request.chord is None:
            return
        if ask(Operation("store", "part", lambda: self._count(request), (request,), away)):
            self._send([Message(names.CLOSE_TASK, request.group, [], names.CONTROL_QUEUE)])

    def _count(self, request: Message) -> bool:
        chord = self.chords.setdefault(request.group, Chord())
        if chord.done or request.id in chord.parts:
            return False
        chord.parts.add(request.id)
        keys = [self.get_key_for_group(request.group, suffix) for suffix in (".s", ".t")]
        size, growth = self._wire.ask("MGET", *keys)
        chord.done = size is not None and len(chord.parts) == int(size) + int(growth or 0)
        if chord.done and self.on_body is not None:
            self.on_body(request.group)
        return chord.done


class Producer:
    """Collects what is published in one batch."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._batch: list[Message] | None = None

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        self._batch = []
        yield
        self._transport._send(self._batch)

    def publish(
        self, body: str, exchange: str, routing_key: str, headers: dict[str, Any], serializer: str, priority: int
    ) -> None:
        args, _, embedded = json.loads(body)
        ignored = headers.get("ignore_result", headers["task"] == names.STEP_TASK)
        message = Message(
            headers["task"], headers["id"], args, routing_key, headers.get("group"), embedded.get("chord"), ignored
        )
        if self._batch is None:
            self._transport._send([message])
        else:
            self._batch.append(message)
