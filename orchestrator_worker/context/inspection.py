"""What is kept of a step that is held to something: why its try was sent back, or a result that waits for judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from orchestrator_client.contract.plan import Json, StepKind
from orchestrator_client.contract.quality import FEEDBACK
from orchestrator_worker.records import Asked

_TOLD = "\n\nYour answer before this one was not accepted: {reason}\nAnswer again, and put that right."


@dataclass(frozen=True, slots=True)
class Inspection:
    """Kept beside the memo of the instance."""

    reason: str = ""
    """Why its last try was sent back; empty in the first one."""
    held: Json = None
    """A result, with what was found of it, that its judges look at."""

    @staticmethod
    def kept_at(instance: str) -> str:
        """The name under which an instance's is kept."""
        return f"{instance}="

    @classmethod
    def of(cls, stored: Json) -> Self:
        """From `asked`; empty from None."""
        return cls() if stored is None else cls(**stored)

    def asked(self, instance: str) -> Asked:
        """What keeps it."""
        return Asked(self.kept_at(instance), "", {"reason": self.reason, "held": self.held})

    def told(self, kind: StepKind, written: Json, parameters: dict[str, Any]) -> dict[str, Any]:
        """A step's parameters, with the reason where its model reads it. A plan that says where it is to stand has it
        there already."""
        if not self.reason or kind is not StepKind.MODEL or FEEDBACK in str(written):
            return parameters
        told = _TOLD.format(reason=self.reason)
        if parameters.get("prompt"):
            return {**parameters, "prompt": f"{parameters['prompt']}{told}"}
        messages = parameters.get("messages")
        said = [*messages] if isinstance(messages, list) else []
        return {**parameters, "messages": [*said, {"role": "user", "content": told.strip()}]}
