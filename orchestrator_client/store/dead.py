"""The dead letters in the store: workers write them, and here they are read, sent again and thrown away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.dead import DeadLetter
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.store.connection import Store, clearly, text_of


class DeadStore(Store):
    """What no worker could take."""

    @clearly
    def letters(self, limit: int) -> list[DeadLetter]:
        """The newest, newest first, without the messages themselves."""
        return [_letter(*found).cut for found in self._redis.xrevrange(names.DEAD, count=limit)]

    @clearly
    def letter(self, letter: str) -> DeadLetter:
        """One, with its message.

        Raises:
            InputsInvalid: there is none of that id.
        """
        number, _, sequence = letter.partition("-")
        is_id = number.isdecimal() and sequence.isdecimal()
        found = self._redis.xrange(names.DEAD, letter, letter) if is_id else []
        if not found:
            raise InputsInvalid([f"no dead letter {letter!r}; `orchestrator dead list` lists those there are"])
        return _letter(*found[0])

    @clearly
    def requeue(self, letter: str) -> None:
        """Put it back into its queue.

        Raises:
            InputsInvalid: there is none of that id, or only its beginning was kept.
        """
        found = self.letter(letter)
        keys = [names.DEAD, names.stored_queue(found.queue)]
        reply = self._run_script("requeue", keys, letter, self._who, _audited(found))
        if reply < 0:
            why = f"it had {found.size_bytes} bytes, or a secret in it"
            raise InputsInvalid([f"of dead letter {letter} only its beginning was kept: {why}"])

    @clearly
    def drop(self, letter: str) -> None:
        """Throw it away.

        Raises:
            InputsInvalid: there is none of that id.
        """
        self._run_script("drop", [names.DEAD], letter, self._who, _audited(self.letter(letter)))


def _audited(letter: DeadLetter) -> str:
    """What the audit log says beside the act: nothing of the message, which anybody may have written."""
    return json.dumps({"letter": letter.id, "queue": letter.queue})


def _letter(entry: Any, fields: Mapping[bytes, bytes]) -> DeadLetter:
    return DeadLetter.from_stream(text_of(entry), {text_of(name): value for name, value in fields.items()})
