"""Questions of runs in the store: which stand, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.question import Answer, AskedQuestion
from orchestrator_client.contract.submission import LOOK_AGAIN_MS
from orchestrator_client.store.connection import RETENTION_SECONDS, Store, clearly, text_of, texts_of


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an answer."""

    verdict: str
    """`answered`, `before`, `expired`, `ended` or `none`."""
    attempt: int = 0
    """Whose message is now to be sent; 0 for none."""
    queue: str = ""
    before: Answer | None = None
    """The answer that counts, where another came first."""
    deadline_ms: int = 0


class QuestionStore(Store):
    """Reads questions, and records answers."""

    @clearly
    def questions(self, runs: Sequence[str]) -> list[AskedQuestion]:
        """The last question of every instance of these runs, whether it still stands or not."""
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hgetall(names.RunKeys(run).questions)
            found = [(run, texts_of(stored)) for run, stored in zip(runs, pipe.execute(), strict=True)]
        return [
            AskedQuestion.from_stored(run, instance, text, stored.get(f"{instance}!"))
            for run, stored in found
            for instance, text in stored.items()
            if not instance.endswith("!")
        ]

    @clearly
    def answer(self, asked: AskedQuestion, answer: Answer, event: str, audited: str) -> Answered:
        """Record an answer, if the question still stands and nobody was first; `event` is what its event says,
        `audited` what the audit log does."""
        keys = names.RunKeys(asked.run)
        stored = answer.model_dump_json(exclude_defaults=True)
        reply: list[Any] = self._run_script(
            "answer",
            [keys.record, keys.instances, keys.questions, keys.events],
            RETENTION_SECONDS,
            asked.run,
            asked.instance,
            asked.number,
            stored,
            event,
            LOOK_AGAIN_MS,
            self._who,
            audited,
        )
        match text_of(reply[0]):
            case "answered":
                return Answered("answered", int(reply[1]), text_of(reply[2]))
            case "before":
                return Answered("before", before=Answer.from_stored(text_of(reply[1]))[1])
            case "expired":
                return Answered("expired", deadline_ms=int(reply[1]))
            case verdict:
                return Answered(verdict)
