"""All variables of a run at one moment: found by name, listed, with who writes and who reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice

from orchestrator_client.client.settable import shown
from orchestrator_client.contract import caps
from orchestrator_client.contract.bindings import bound_by, bound_by_run
from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.reading import names_in, namespaces_of
from orchestrator_client.contract.run import Receipt, RunRecord
from orchestrator_client.contract.template import render
from orchestrator_client.store import Stores
from orchestrator_client.uses import Uses
from orchestrator_client.variables import (
    TEMPORARY,
    Setting,
    Variable,
    VariableScope,
    VariableType,
    Version,
    around,
    is_place,
    path_of,
    place_of_value,
    scope_of,
    step_kind,
)

PAGE = 500
"""Values that are read at a time while variables are listed."""

OUTPUTS = "outputs."


class Catalogue:
    """A run's variables. What is asked of it is read from the store when it is first asked.

    Weakness: it is read in several trips, so a busy run may move on in between.
    """

    def __init__(self, stores: Stores, run: str) -> None:
        self._stores, self._run = stores, run
        self._store = stores.variables
        self._inputs = stores.variables.inputs(run)

    @cached_property
    def _record(self) -> RunRecord:
        return self._stores.runs.record(self._run)

    @cached_property
    def _plan(self) -> Plan:
        return self._stores.runs.plan(self._run)

    @cached_property
    def _uses(self) -> Uses:
        return Uses(self._plan)

    @cached_property
    def _latest(self) -> Mapping[str, int]:
        return self._store.latest(self._run)

    @cached_property
    def _system(self) -> Mapping[str, Json]:
        record = self._record
        bound = bound_by_run(self._run, record.pipeline, record.submitted_ms)
        return bound if "output_path" in self._inputs else {**bound, "output_path": f"outputs/{record.pipeline}"}

    @cached_property
    def _sections(self) -> Mapping[str, Json]:
        """Sections of the file, rendered as a step without variables of its own sees them."""
        written, names = namespaces_of(self._plan), self._names_set
        read = [name for name in dict.fromkeys(names_in(dict(written))) if name in names]
        seen = {name: found.value for name in read if (found := self._set_in(name, [""]))}
        with suppress(TemplateError):
            rendered: Mapping[str, Json] = render(dict(written), {**self._system, **self._inputs, **seen})
            return rendered
        return written

    @property
    def _names_set(self) -> frozenset[str]:
        """Names that were set for all of the run."""
        fields = (field.rpartition("/") for field in self._latest)
        return frozenset(name for scope, _, name in fields if scope in ("", TEMPORARY))

    # ---- one

    def get(self, name: str, within: str) -> Variable | None:
        """A variable as it is seen within a place, which the name may begin with; None if there is none."""
        found = self._seen(name, within)
        place, _, leaf = name.rpartition(".")
        if found is None and not within and place and is_place(place, self._plan):
            return self._seen(leaf, place)
        return found

    def hint(self, name: str) -> str:
        """`; did you mean 'x'?` where something is called nearly so."""
        from orchestrator_client.contract.catalog import suggestion

        known = [*self._inputs, *self._names_set, *self._plan.step_by_id, *self._system, *namespaces_of(self._plan)]
        remedy = suggestion(name, known)
        return f"; {remedy}" if remedy else "; `orchestrator vars RUN` lists those there are"

    def of_setting(self, field: str, told: Version) -> Variable:
        """What was set, as a variable."""
        within, _, name = field.rpartition("/")
        place = "" if within == TEMPORARY else within
        kind = VariableType.INPUT if name in self._inputs and not place else VariableType.INTERMEDIATE
        kind = VariableType.CONFIGURATION if name in namespaces_of(self._plan) else kind
        return self._made(name, kind, place, scope_of(within), **dict(told))

    def holds(self, setting: Setting) -> bool:
        """Whether the name has that very value already."""
        found = self._seen(setting.name, setting.within)
        return found is not None and found.value == setting.value

    def _seen(self, name: str, within: str) -> Variable | None:
        """As a step there sees it: what steps left, what was set, what loops bind, what the run has."""
        places = around(within)
        for place in places:
            if (left := self._left(f"{place}.{name}" if place else name)) is not None:
                return left
        if (found := self._set_in(name, places)) is not None:
            return found
        for place in filter(step_kind, places):
            if name in (bound := self._bound(place)):
                return self._made(name, VariableType.INTERMEDIATE, place, scope_of(place), bound[name])
        return next((one for one in self._of_the_run(name) if one.name == name), None)

    def _set_in(self, name: str, places: list[str]) -> Variable | None:
        fields = [field for scope in (TEMPORARY, *places) if (field := f"{scope}/{name}") in self._latest]
        return next(self._set_now(fields), None)

    def _set_now(self, fields: Sequence[str]) -> Iterator[Variable]:
        """What was set and holds, of these fields."""
        now = self._stores.runs.now_ms() if fields else 0
        for first in range(0, len(fields), PAGE):
            page = fields[first : first + PAGE]
            told = self._store.versions(self._run, [(field, self._latest[field]) for field in page])
            for field, version in zip(page, told, strict=True):
                if version.until_ms is None or now < version.until_ms:
                    yield self.of_setting(field, version)

    def _bound(self, place: str) -> Mapping[str, Json]:
        """What a loop binds in an item or pass; nothing where that has not come to be."""
        loop, number = self._plan.step_at(place), int(place.rstrip("]").rpartition(step_kind(place))[2])
        if loop is None or loop.loop is None:
            return {}
        if step_kind(place) == "#":
            return bound_by(loop, number, {})
        memo = self._store.memos(self._run, [place]).get(place)
        return bound_by(loop, number, memo) if memo else {}

    def _left(self, instance: str) -> Variable | None:
        """What a step left; None if it left nothing."""
        found = self._stores.runs.values(self._run, [instance])
        return self._of_value(instance, found[instance]) if instance in found else None

    # ---- all

    def listed(self, scope: VariableScope | None, kind: VariableType | None, limit: int) -> list[Variable]:
        """As many of those that match as are wanted."""
        matching = (
            one
            for one in self._all(kind)
            if (scope is None or one.scope is scope) and (kind is None or one.type is kind)
        )
        return list(islice(matching, limit))

    def _all(self, kind: VariableType | None) -> Iterator[Variable]:
        overridden = {field[1:] for field in self._latest if field.startswith("/")}
        yield from (one for one in self._of_the_run() if one.name not in overridden)
        yield from self._set_now(list(self._latest))
        if kind in (None, VariableType.INTERMEDIATE):
            yield from self._of_steps()
            yield from self._of_items()

    def _of_the_run(self, wanted: str | None = None) -> Iterator[Variable]:
        """Inputs, sections of the file, what the run binds, channels, and, once it has closed, outputs."""
        for name, value in self._inputs.items():
            yield self._made(name, VariableType.INPUT, value=value)
        if wanted is None or wanted in namespaces_of(self._plan):
            for name, value in self._sections.items():
                yield self._made(name, VariableType.CONFIGURATION, value=value)
        for name, value in self._system.items():
            yield self._made(name, VariableType.SYSTEM, value=value)
        outputs = self._record.outputs or {}
        state = outputs.get("state") if self._plan.channels is not None else None
        for name in self._plan.channels or {}:
            if name not in self._inputs and isinstance(state, dict):
                yield self._made(name, VariableType.INTERMEDIATE, value=state.get(name))
        for name, value in outputs.items():
            yield self._made(f"{OUTPUTS}{name}", VariableType.OUTPUT, value=value)

    def _of_steps(self) -> Iterator[Variable]:
        instances = sorted(self._store.instances(self._run))
        for first in range(0, len(instances), PAGE):
            page = self._stores.runs.values(self._run, instances[first : first + PAGE])
            yield from (self._of_value(instance, value) for instance, value in page.items())

    def _of_items(self) -> Iterator[Variable]:
        items = sorted(self._store.items(self._run))
        for first in range(0, len(items), PAGE):
            for place, memo in self._store.memos(self._run, items[first : first + PAGE]).items():
                yield self._made("item", VariableType.INTERMEDIATE, place, VariableScope.ITEM, memo.get("item"))

    # ---- histories

    def history(self, now: Variable) -> list[Version]:
        """All that is kept of a variable's past, and itself."""
        scope = TEMPORARY if now.scope is VariableScope.TEMPORARY else now.within
        field = f"{scope}/{now.name}"
        last = self._latest.get(field, 0)
        if now.writers or not last:
            return [Version.model_validate(now.model_dump())]
        kept = [(field, number) for number in range(max(1, last - caps.VERSIONS + 1), last + 1)]
        told = [
            one.model_copy(update={"value": shown(one.value, now.name)})
            for one in self._store.versions(self._run, kept)
        ]
        if now.name in self._inputs and not scope:
            first = Version(version=0, value=shown(self._inputs[now.name], now.name), at_ms=self._record.submitted_ms)
            return [first, *told]
        return told

    # ---- records

    def _of_value(self, instance: str, value: Json) -> Variable:
        within, name = place_of_value(instance)
        receipt: Receipt | None = self._receipts.get(instance)
        at = receipt.ended_ms if receipt else None
        kind = VariableType.INTERMEDIATE
        return self._made(name, kind, within, scope_of(within), value, version=1, by=instance, at_ms=at)

    @cached_property
    def _receipts(self) -> Mapping[str, Receipt]:
        return self._stores.runs.receipts(self._run)

    def _made(
        self,
        name: str,
        kind: VariableType,
        within: str = "",
        scope: VariableScope = VariableScope.RUN,
        value: Json = None,
        version: int = 0,
        **told: Json,
    ) -> Variable:
        path = path_of(f"{within}.{name}" if within and not name.startswith(f"{within}#") else name)
        writers = self._uses.writers(path)
        return Variable(
            name=name,
            within=within,
            scope=scope,
            type=kind,
            value=(seen := shown(value, name)),
            masked=seen != value,
            version=version,
            writers=writers,
            readers=self._uses.readers(path if writers else name),
            **told,
        )
