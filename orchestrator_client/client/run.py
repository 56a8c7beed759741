"""One run, by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, overload

from orchestrator_client.client.variables import Variables
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.progress import RunProgress
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import Met, RunRecord, RunState
from orchestrator_client.messages import Messages
from orchestrator_client.questions import Questions
from orchestrator_client.store import Stores
from orchestrator_client.watch import follow

if TYPE_CHECKING:
    from orchestrator_client.why import Why


class Run:
    """One run, by its id. Holds nothing: every method asks the store."""

    def __init__(
        self, stores: Stores, run: str, questions: Questions, check: Callable[[], None] = lambda: None
    ) -> None:
        self._stores, self._store, self._questions, self._check = stores, stores.runs, questions, check
        self.id = run

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def status(self) -> RunRecord:
        """What the run is now.

        Raises:
            RunNotFound: the store has no such run (any more).
        """
        return self._store.record(self.id)

    @property
    def variables(self) -> Variables:
        """Its variables: what its templates may read, and what may be set while it goes on."""
        return Variables(self._stores, self.id, self._check)

    def plan(self) -> Plan:
        """The plan that the run is pinned to."""
        return self._store.plan(self.id)

    @overload
    def stream(
        self, after: str = "0", timeout: float | None = None, mode: Literal["events"] = "events"
    ) -> Iterator[Event]: ...

    @overload
    def stream(self, after: str = "0", timeout: float | None = None, *, mode: Literal["messages"]) -> Messages: ...

    def stream(
        self, after: str = "0", timeout: float | None = None, mode: Literal["events", "messages"] = "events"
    ) -> Iterator[Event] | Messages:
        """The run's events in order, until it has closed; from the first, or behind the event with the id `after`.

        With `mode="messages"`, the text of its model steps as they write it: `Delta`, `Dropped` and `Written`. The
        iterator's `cursor`, and the `id` of a `Delta`, are what `after` takes then. Calls that start from now on are
        streamed; for those of the very first moment, submit with `stream_text=True`.
        """
        if mode == "messages":
            return Messages(self._store, self.id, after, timeout, self._check)
        return follow(self._store, self.id, after, timeout, self._check)

    def wait(self, timeout: float | None = None) -> RunRecord:
        """Wait until the run has closed; seconds.

        Raises:
            TimeoutError: it has not by then. The run goes on.
        """
        last = self._store.last_event_id(self.id)
        if not (record := self.status()).state.ended:
            for _ in self.stream(last, timeout):
                continue
            record = self.status()
        return record

    def result(self, timeout: float | None = None) -> RunDocument:
        """Wait until the run has closed, and return its document, whether it went well or not.

        Raises:
            TimeoutError: it has not closed within `timeout` seconds. The run goes on.
        """
        self.wait(timeout)
        return self.document()

    def document(self, values: bool = True) -> RunDocument:
        """All that is known of the run at this moment; `values=False` leaves the steps' values out."""
        store = self._store
        record, plan = store.record(self.id), store.plan(self.id)
        stored = store.values(self.id) if values else {}
        return RunDocument.build(plan, record, store.receipts(self.id), store.open_instances(self.id), stored)

    def value(self, step: str) -> Json:
        """What one step left; None if it left nothing yet."""
        return self._store.values(self.id, [step]).get(step)

    def progress(self) -> RunProgress:
        """How far it is, and about when it ends.

        Raises:
            RunNotFound: the store has no such run (any more).
        """
        return RunProgress.of(self._store.record(self.id), self._store.now_ms())

    def why(self, step: str | None = None) -> list[Why]:
        """What each instance that has not ended waits for, and what would help; of what has ended, how it did.

        Raises:
            InputsInvalid: the run has no such step.
        """
        from orchestrator_client.client.facts import facts_of
        from orchestrator_client.why import explain

        return explain(facts_of(self._stores, self.id), step)

    def children(self) -> list[RunRecord]:
        """The runs that its steps have started for other pipelines, oldest first; `client.run(child.run)` has each."""
        return self._store.children(self.id)

    def questions(self) -> list[AskedQuestion]:
        """What the run asks and nobody has answered yet, oldest first."""
        return self._questions.standing([self.id])

    def answer(self, step: str, value: Json, by: str = "") -> AskedQuestion:
        """Answer what a step asks; the first answer counts, and the step goes on at once.

        `value` is checked against the question: text that spells a number becomes one, a form may leave out what has
        a default. `by` is who answers, this process's user without it.

        Raises:
            NoQuestion: the step asks nothing, or it was answered before (by whom and when), or it is too late.
            InputsInvalid: the answer does not fit the question, or `by` may not answer; nothing was recorded.
        """
        return self._questions.answer(self.id, step, lambda _: value, by)

    def approve(self, step: str, *, approved: bool = True, comment: str = "", by: str = "") -> AskedQuestion:
        """Answer an approval: approve, or reject with `approved=False`.

        Raises:
            NoQuestion, InputsInvalid: as `answer`.
        """
        return self._questions.answer(self.id, step, lambda question: question.decision(approved, comment), by)

    def cancel(self) -> RunState:
        """Ask for the run's end: nothing of it starts any more, and what runs is stopped.

        Returns the state in which the wish met the run; one that has ended stays as it is.
        """
        return self._store.cancel(self.id)

    def remove(self, force_seconds: float | None = None) -> list[str]:
        """Remove the run from the store, if it has ended, and the runs that it has started; returns their ids.

        With `force_seconds`, one that has not ended is cancelled and waited for, at most so long. Workers remove its
        folder within about a minute.

        Raises:
            RunNotFound: the store has no such run (any more).
            InputsInvalid: it, one below it, or the one that has started it has not ended.
        """
        if force_seconds is not None and not self._store.cancel(self.id).ended:
            with suppress(TimeoutError):
                self.wait(force_seconds)
        return self._store.remove(self.id)

    def pause(self) -> Met:
        """Have nothing of the run start any more, nor of the runs that it has started, until `resume`.

        What runs goes on to its end, and is recorded. The run's clocks stand meanwhile: deadlines of its questions and
        of its sub-pipelines. Returns the run as the wish met it: one that was paused before, is to be cancelled or has
        ended stays as it is.
        """
        return self._store.pause(self.id)

    def resume(self) -> Met:
        """Let a paused run go on, and the runs that it has started.

        Returns the run as the wish met it: one that was not paused stays as it is.
        """
        return self._store.resume(self.id)
