"""The fields of every record that is stored or sent: later releases may add to them, and never take away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from orchestrator_client.contract.audit import AuditEntry
from orchestrator_client.contract.dead import DeadLetter
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.event import Delta, Event
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.question import AskedQuestion, GivenAnswers
from orchestrator_client.contract.run import OpenInstance, Receipt, RunRecord, Submission
from orchestrator_client.contract.schedule import Schedule
from orchestrator_client.contract.worker import WorkerInfo

ROOTS = (
    *(Plan, Submission, RunRecord, Receipt, OpenInstance, RunDocument, Event, Delta, AskedQuestion, GivenAnswers),
    *(Schedule, WorkerInfo, DeadLetter, AuditEntry),
)
"""Each brings the records and enumerations that it is made of."""

Fields = Mapping[str, Mapping[str, Any]]
"""Record -> `fields` and those of them that are `required`; enumeration -> `values`."""


def fields_now() -> Fields:
    """Those of this code."""
    found: dict[str, Mapping[str, Any]] = {}
    for root in ROOTS:
        schema = TypeAdapter(root).json_schema()
        for name, each in {**schema.get("$defs", {}), root.__name__: schema}.items():
            if "enum" in each:
                found[name] = {"values": sorted(each["enum"])}
            elif "properties" in each:
                found[name] = {"fields": sorted(each["properties"]), "required": sorted(each.get("required", ()))}
    return dict(sorted(found.items()))


def broken(before: Fields, now: Fields) -> Iterator[str]:
    """What a reader or writer of then would miss, a sentence each."""
    for name, then in before.items():
        if (today := now.get(name)) is None:
            yield f"{name} is gone or renamed"
            continue
        for what in ("fields", "values"):
            for lost in sorted({*then.get(what, ())} - {*today.get(what, ())}):
                yield f"{name} has lost {lost!r} of its {what}"
        for needed in sorted({*today.get("required", ())} - {*then.get("required", ())}):
            yield f"{name} requires {needed!r}, which a record of then need not have"
