"""What releases have left, a folder each: plans, a store, what was read there, and the fields of records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator_client.client import Client, Run
from orchestrator_client.contract.plan import Plan

FOLDER = Path(__file__).parents[1] / "fixtures" / "releases"

ENDED, OPEN, NEW = "ended", "open", "new"
"""Idempotency keys of the runs in a frozen store: one that has ended, one half-way, one that nobody has started."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release."""

    folder: Path

    @property
    def store(self) -> str:
        """See `dump`."""
        return (self.folder / "store.json").read_text("utf-8")

    def plans(self) -> dict[str, str]:
        """Hash -> the plan as it was stored."""
        return {path.stem: path.read_text("utf-8") for path in sorted((self.folder / "plans").glob("*.json"))}

    def seen(self) -> dict[str, Any]:
        """Run -> what `seen` gave."""
        return self._json("seen.json")

    def fields(self) -> dict[str, Any]:
        """See `fields`."""
        return self._json("fields.json")

    def write(self, plans: list[Plan], store: str, seen: Any, fields: Any) -> None:
        (self.folder / "plans").mkdir(parents=True)
        for plan in plans:
            (self.folder / "plans" / f"{plan.hash}.json").write_text(plan.to_json(), "utf-8")
        (self.folder / "store.json").write_text(store, "utf-8")
        for name, content in (("seen", seen), ("fields", fields)):
            text = json.dumps(content, indent=1, ensure_ascii=False)
            (self.folder / f"{name}.json").write_text(text + "\n", "utf-8")

    def _json(self, file: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / file).read_text("utf-8"))
        return content


def releases() -> list[Release]:
    """All that were frozen."""
    return [Release(folder) for folder in sorted(FOLDER.iterdir())]


def seen(client: Client, run: Run) -> dict[str, Any]:
    """All that a client reads of a run, but what the time of day changes."""
    document = run.document().model_dump(mode="json", exclude={"estimated_end"})
    events = [event.model_dump(mode="json") for event in client._stores.runs.events(run.id, "0", 0)]
    found = {
        "document": document,
        "events": events,
        "questions": [asked.model_dump(mode="json") for asked in run.questions()],
        "variables": [variable.model_dump(mode="json") for variable in run.variables.list()],
    }
    return _without_long_texts(found)


def _without_long_texts(value: Any) -> Any:
    """The same, with a digest for each text that would fill a screen."""
    match value:
        case dict():
            return {key: _without_long_texts(each) for key, each in value.items()}
        case list():
            return [_without_long_texts(each) for each in value]
        case str() if len(value) > 1000:
            return f"{len(value)} characters, SHA-256 {hashlib.sha256(value.encode()).hexdigest()}"
    return value
