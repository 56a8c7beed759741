"""The runs that this process has met: what never changes of them, read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from orchestrator_worker.compiler import Graph, compile_plan
from orchestrator_worker.records import OpenRun
from orchestrator_worker.store import Store

T = TypeVar("T")


class Runs:
    """A small cache in front of the store. Plans are shared by their hash, since many runs execute one."""

    MOST_RUNS = 256
    MOST_PLANS = 16

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: OrderedDict[str, OpenRun] = OrderedDict()
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, run: str) -> tuple[OpenRun, Graph]:
        """The run's inputs and graph.

        Raises:
            RunNotFound: the store has no such run.
        """
        record = self._remember(self._runs, run, self.MOST_RUNS, lambda: self._store.open_run(run))
        load = lambda: compile_plan(self._store.plan(run))  # noqa: E731
        return record, self._remember(self._graphs, record.plan_hash, self.MOST_PLANS, load)

    def _remember(self, cache: OrderedDict[str, T], key: str, most: int, load: Callable[[], T]) -> T:
        with self._lock:
            if key in cache:
                cache.move_to_end(key)
                return cache[key]
        loaded = load()
        with self._lock:
            cache[key] = loaded
            while len(cache) > most:
                cache.popitem(last=False)
        return loaded
