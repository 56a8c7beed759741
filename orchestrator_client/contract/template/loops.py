"""What templates see of a loop: its results, read where they lie when a template asks for them, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.template.guards import Wrapped
from orchestrator_client.contract.template.views import MISSING, Missing, StepView

Fetch = Callable[[list[str]], Mapping[str, Json]]
"""Values of instances; those that left none are not in the answer."""

SCOPES = "scopes"
"""The field by which a stored value is known as a loop's."""


class Passes(Wrapped):
    """The passes of a loop: a list to whoever takes it for one, their number to everybody else."""

    __slots__ = ("items",)

    def __init__(self, items: list[Json]) -> None:
        self.items = items

    @property
    def json(self) -> Json:
        return len(self.items)

    def __str__(self) -> str:
        return str(len(self.items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __eq__(self, other: object) -> bool:
        return len(self.items) == other

    __hash__ = None  # type: ignore[assignment]  # equals numbers

    def __lt__(self, other: Any) -> bool:
        return bool(len(self.items) < other)

    def __le__(self, other: Any) -> bool:
        return bool(len(self.items) <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(len(self.items) > other)

    def __ge__(self, other: Any) -> bool:
        return bool(len(self.items) >= other)


class LoopView(StepView):
    """One loop. `results`: what the last step of its body left, by item or pass; `iterations`: all that they left."""

    __slots__ = ("_fetch", "_scopes", "_value")

    def __init__(self, value: Mapping[str, Json], fetch: Fetch) -> None:
        super().__init__(dict(value), "completed" if value.get("success", True) else "failed")
        self._value, self._fetch = value, fetch
        self._scopes: Mapping[str, Any] = value[SCOPES]

    @property
    def json(self) -> Json:
        return {**{name: self._value[name] for name in ("count", "success")}, "results": self._results()}

    @property
    def text(self) -> str:
        return StepView({"result": self.json}, "completed").text

    def field(self, name: str) -> Any:
        match name:
            case "results" | "result" | "outputs" | "value":
                return self._results()
            case "iterations":
                iterations = self._iterations()
                return iterations if self._is_map else Passes(iterations)
            case "iteration_count" | "iteration" | "length" | "total_items":
                return self._value["count"]
            case "status":
                return "completed" if self._value.get("success") else "failed"
            case _ if name == SCOPES:
                return MISSING
        found: Json | Missing = super().field(name)
        return found

    @property
    def _is_map(self) -> bool:
        return bool(self._scopes["kind"] == "map")

    def _scope(self, index: int) -> str:
        base = str(self._scopes["first"]).removesuffix("[0]" if self._is_map else "#0")
        return f"{base}[{index}]" if self._is_map else f"{base}#{index}"

    def _results(self) -> list[Json]:
        last = self._scopes["last"]
        names = [f"{self._scope(index)}.{last}" for index in range(int(self._value["count"]))]
        values = self._fetch(names)
        return [self._shown(values.get(name)) for name in names]

    def _shown(self, value: Json) -> Json:
        view = self._view(value)
        if not self._scopes["inline"]:
            return view.json
        fields = view.json if isinstance(view.json, dict) else {}
        return {**fields, "result": view.json, "status": view.field("status"), "success": view.field("success")}

    def _iterations(self) -> list[Json]:
        """For each item or pass: what its steps left, by their ids."""
        steps, count = self._scopes["steps"], int(self._value["count"])
        values = self._fetch([f"{self._scope(index)}.{step}" for index in range(count) for step in steps])
        return [
            {**{step: values.get(f"{self._scope(index)}.{step}") for step in steps}, "index": index, "iteration": index}
            for index in range(count)
        ]

    def _view(self, value: Json) -> StepView:
        return view_of(value, self._fetch)


def view_of(value: Json, fetch: Fetch) -> StepView:
    """The view of what a step left: a loop's, or any other's."""
    if isinstance(value, dict) and isinstance(value.get(SCOPES), dict):
        return LoopView(value, fetch)
    return StepView.of(value)
