"""What rules look at: what a step left, or a file that it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.template import view_of
from orchestrator_worker.steps.schema import parsed_json


class Unmet(Exception):
    """A rule is not met; the message says why, in a clause."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is looked at."""

    text: str
    value: Json = None
    """What it is where that is more than text: a list, a mapping, a number."""
    size_bytes: int = 0

    @classmethod
    def of_value(cls, left: Json) -> Subject:
        """Of what a step left: its result, as templates show it."""
        result = left["result"] if isinstance(left, dict) and "result" in left else left
        text = result if isinstance(result, str) else view_of(left, lambda _: {}).text
        return cls(text, None if isinstance(result, str) else result, len(text.encode(errors="replace")))

    def json(self) -> Any:
        """The value, or what its text says as JSON, with or without a fence around it.

        Raises:
            Unmet: it is no JSON.
        """
        if self.value is not None:
            return self.value
        try:
            return parsed_json(self.text)
        except ValueError as error:
            raise Unmet(f"it is not JSON ({error})") from None
