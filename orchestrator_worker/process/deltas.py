"""What models write, sent to whoever reads along while they write it."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field
from itertools import groupby

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""How long a call that has ended waits for its last pieces to be sent; the whole text is in its value anyway."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text, or the wish to hear when all before it was sent."""

    run: str
    instance: str = ""
    attempt: int = 0
    seq: int = 0
    text: str = ""
    sent: threading.Event | None = None


@dataclass(slots=True)
class Writing:
    """One attempt's text. Called on the worker's loop, which it never blocks."""

    pieces: queue.SimpleQueue[Piece]
    run: str
    instance: str
    attempt: int
    _seq: int = field(default=0)

    def __call__(self, text: str) -> None:
        self._seq += 1
        self.pieces.put(Piece(self.run, self.instance, self.attempt, self._seq, text))

    def flush(self) -> None:
        """Wait until everything was sent: a reader then has all of it before it hears of the step's end."""
        sent = threading.Event()
        self.pieces.put(Piece(self.run, sent=sent))
        sent.wait(FLUSH_SECONDS)


class Deltas:
    """One thread a process that sends pieces: the first at once, and those that come while it sends together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def of(self, run: str, instance: str, attempt: int) -> Writing:
        """Where one attempt's text goes."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deltas", daemon=True)
                self._thread.start()
        return Writing(self._pieces, run, instance, attempt)

    def _run(self) -> None:
        while True:
            pieces = [self._pieces.get()]
            while not self._pieces.empty():
                pieces.append(self._pieces.get())
            try:
                self._send([piece for piece in pieces if piece.sent is None])
            except StoreUnavailable as away:
                logger.warning("text that a model wrote was not shown while it came: %s", away)
            for piece in pieces:
                if piece.sent is not None:
                    piece.sent.set()

    def _send(self, pieces: list[Piece]) -> None:
        for run, of_run in groupby(sorted(pieces, key=lambda piece: piece.run), key=lambda piece: piece.run):
            self._store.write_deltas(run, [(p.instance, p.attempt, p.seq, p.text) for p in of_run])
